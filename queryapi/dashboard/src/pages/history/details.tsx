import type { ReactNode } from 'react'
import type { Schemas } from '../../api/client'
import { useBalance } from '../../api/queries'
import { count, instant } from '../../format'
import { Amount } from '../../parts/amount'
import { Badge } from '../../parts/badge'
import { Copy } from '../../parts/copy'
import { Link } from '../../parts/link'
import { paths } from '../../router'
import { DayEvents } from './dayevents'
import { fullWhen, isGrouped } from './words'

type Item = Schemas['HistoryItem']
type Props = { workspace: string; zone: string; item: Item; nameOf: (campaign: string) => string }

/** Details is the grant or the event behind an entry. */
export function Details({ workspace, zone, item, nameOf }: Props) {
  return (
    <div className="details">
      <dl className="details-facts">
        <Fact name="When">{fullWhen(item, zone)}</Fact>
        {item.campaign_id ? (
          <Fact name="Campaign">
            <Link href={paths.campaign(workspace, item.campaign_id)}>
              <bdi>{nameOf(item.campaign_id)}</bdi>
            </Link>
          </Fact>
        ) : null}
        {item.action ? <Fact name="Action">{item.action}</Fact> : null}
        {item.actor ? <Fact name="Actor">{item.actor}</Fact> : null}
        {item.note ? (
          <Fact name={item.type === 'grant' ? 'Note' : 'Reason'} wide>
            <bdi>{item.note}</bdi>
          </Fact>
        ) : null}
        <Fact name={creditsWord(item)}>
          <Amount value={item.credits} />
        </Fact>
        {item.events === null ? null : <Fact name="Events">{count(item.events)}</Fact>}
        {item.refunds && item.refunds !== '0' ? (
          <Fact name="Refunded">
            <Amount value={item.refunds} />
          </Fact>
        ) : null}
        <Fact name="Balance after">
          <Amount value={item.balance_after} />
        </Fact>
        {item.grant_id ? <Grant workspace={workspace} zone={zone} id={item.grant_id} /> : null}
        {item.source ? <Fact name="Source">{item.source}</Fact> : null}
        {item.late === null ? null : <Fact name="Arrived">{item.late ? 'Late: over 5 minutes after its time' : 'In time'}</Fact>}
        {item.event_id ? (
          <Fact name="Event id" wide>
            <Id text={item.event_id} what="event id" />
          </Fact>
        ) : null}
        <Fact name="Entry id" wide>
          <Id text={item.entry_id} what="entry id" />
        </Fact>
      </dl>
      <Sources item={item} />
      <Attributes attributes={item.attributes} />
      {isGrouped(item) ? <DayEvents workspace={workspace} zone={zone} item={item} /> : null}
    </div>
  )
}

function creditsWord({ type }: Item): string {
  switch (type) {
    case 'grant':
      return 'Credits granted'
    case 'adjustment':
      return 'Credits adjusted'
    case 'consumption':
      return 'Credits used'
    default:
      return 'Credits removed'
  }
}

function Fact({ name, wide = false, children }: { name: string; wide?: boolean; children: ReactNode }) {
  return (
    <div className={wide ? 'details-wide' : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Id({ text, what }: { text: string; what: string }) {
  return (
    <span className="details-id">
      <code>{text}</code>
      <Copy text={text} what={what} />
    </span>
  )
}

/** Grant says how the grant of an entry stands now. */
function Grant({ workspace, zone, id }: { workspace: string; zone: string; id: string }) {
  const balance = useBalance(workspace)
  const grant = balance.data?.grants.find((g) => g.grant_id === id)
  return (
    <>
      <Fact name="Grant" wide>
        <Id text={id} what="grant id" />
      </Fact>
      {grant ? (
        <>
          <Fact name="Grant now">
            <Badge status={grant.status} />
          </Fact>
          <Fact name="Left of it">
            <Amount value={grant.remaining} /> of <Amount value={grant.credits} />
          </Fact>
          <Fact name="Holds from">{instant(grant.effective_at, zone)}</Fact>
          <Fact name="Expires">{grant.expires_at === null ? 'Never' : instant(grant.expires_at, zone)}</Fact>
          <Fact name="Class and priority">
            {grant.class === 'paid' ? 'Paid' : 'Promo'}, {grant.priority}
          </Fact>
        </>
      ) : null}
    </>
  )
}

/** Sources says which grants a change was paid from, or went to. */
function Sources({ item }: { item: Item }) {
  if (item.sources === null) {
    return (
      <section>
        <h3>Paid by</h3>
        <p className="soft">Several grants paid for what was used in this time. Who paid for which part is not known.</p>
      </section>
    )
  }
  if (item.sources.length === 0) return null
  return (
    <section>
      <h3>{item.type === 'consumption' && Number(item.change) < 0 ? 'Paid by' : 'Changed'}</h3>
      <ul className="details-sources">
        {item.sources.map((source) => (
          <li key={source.grant_id ?? ''}>
            <span>{source.grant_id === null ? 'Overdraft' : source.grant_id}</span>
            <Amount value={source.change} signed />
          </li>
        ))}
      </ul>
    </section>
  )
}

function Attributes({ attributes }: { attributes: Item['attributes'] }) {
  const entries = Object.entries(attributes ?? {})
  if (entries.length === 0) return null
  return (
    <section>
      <h3>Attributes</h3>
      <dl className="details-attributes">
        {entries.map(([name, value]) => (
          <div key={name}>
            <dt>
              <bdi>{name}</bdi>
            </dt>
            <dd>
              <bdi>{value}</bdi>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
