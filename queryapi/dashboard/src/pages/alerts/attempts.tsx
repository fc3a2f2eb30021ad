import { type Attempt, type DeliveriesQuery, useDeliveries } from '../../api/alerts'
import { rows } from '../../api/queries'
import { instant, instantSeconds } from '../../format'
import { More } from '../../parts/more'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'
import { outcomes } from './words'

type Props = { workspace: string; zone: string; query: DeliveriesQuery; within?: boolean; none?: string }

/** Attempts lists what was sent where and what came of it; within an incident it leaves out what that says. */
export function Attempts({ workspace, zone, query, within = false, none = 'Nothing has been sent' }: Props) {
  const pages = useDeliveries(workspace, query)
  return (
    <Loaded
      query={{ ...pages, data: pages.data && rows(pages.data) }}
      skeleton={<SkeletonRows rows={within ? 2 : 8} label="Loading deliveries" />}
    >
      {(items) =>
        items.length === 0 ? (
          within ? (
            <p className="soft">{none}.</p>
          ) : (
            <Empty title={none} />
          )
        ) : (
          <>
            <AttemptTable items={items} zone={zone} within={within} />
            <More pages={pages} label="Show more deliveries" />
          </>
        )
      }
    </Loaded>
  )
}

/** AttemptTable has a row for each attempt. */
export function AttemptTable({ items, zone, within }: { items: Attempt[]; zone: string; within: boolean }) {
  return (
    <div className="attempt-wrap">
      <table className="table attempts">
        <caption className="hidden-visually">Deliveries, the newest first</caption>
        <thead>
          <tr>
            <th scope="col">When</th>
            {within ? null : <th scope="col">Rule</th>}
            <th scope="col">Message</th>
            <th scope="col">To</th>
            <th scope="col">Outcome</th>
            <th scope="col">Next attempt</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <AttemptRow
              key={`${item.webhook_id} ${item.destination} ${item.attempt} ${item.at}`}
              item={item}
              zone={zone}
              within={within}
            />
          ))}
        </tbody>
      </table>
    </div>
  )
}

const stateNames = { firing: 'Firing', resolved: 'Resolved', test: 'Test' }
const formatNames = { standard: 'standard', slack: 'Slack', topic: 'topic' }

function AttemptRow({ item, zone, within }: { item: Attempt; zone: string; within: boolean }) {
  // What a test asked for is no attempt, and what came of it is a row of its own.
  const again = isQuestion(item) ? null : item.next_attempt_at
  return (
    <tr>
      <td data-label="When" className="figure">
        <time dateTime={item.at}>{instantSeconds(item.at, zone)}</time>
      </td>
      {within ? null : (
        <td data-label="Rule">
          <bdi>{item.rule_name ?? item.rule_id}</bdi>
        </td>
      )}
      <td data-label="Message">
        {stateNames[item.state]}
        {item.attempt > 0 ? <span className="soft">, attempt {item.attempt}</span> : null}
      </td>
      <td data-label="To" className="attempt-to">
        <bdi>{item.destination}</bdi> <span className="soft">{formatNames[item.format]}</span>
      </td>
      <td data-label="Outcome">
        <Outcome item={item} />
      </td>
      <td data-label="Next attempt" className={`figure ${again === null ? 'attempt-none' : ''}`}>
        {again === null ? <span className="soft">None</span> : instant(again, zone)}
      </td>
    </tr>
  )
}

/** isQuestion tells of a row that says that a test was asked for. */
const isQuestion = ({ state, attempt, outcome }: Attempt) => state === 'test' && attempt === 0 && outcome === 'retrying'

/** Outcome says what came of an attempt, with the status and why. */
export function Outcome({ item }: { item: Attempt }) {
  const { text, tone, means } = outcomes[item.outcome]
  const why = item.error || (item.status === null ? '' : `HTTP ${item.status}`)
  return (
    <>
      {isQuestion(item) ? (
        <span className="badge badge-plain">Asked for</span>
      ) : (
        <span className={`badge badge-${tone}`} title={means}>
          {text}
        </span>
      )}
      {why ? <span className="soft small attempt-why">{why}</span> : null}
    </>
  )
}
