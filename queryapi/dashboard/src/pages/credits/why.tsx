import { useState } from 'react'
import { useProjection } from '../../api/queries'
import { isZero } from '../../credits'
import { count, rounded } from '../../format'
import { sharePercent } from '../../parts/campaigns/words'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { Panel } from '../../parts/panel'
import { Segments } from '../../parts/segments'
import { Loaded, Skeleton } from '../../parts/states'
import { navigate, paths, usePlace, withQuery } from '../../router'
import { type Burn, causeOf, changeOf, type Part, partName, partsOf, percentOf, type Since } from './causes'
import { WhatIfDialog } from './whatif/dialog'
import { changesOf, closed, isOpen, whatIfOf } from './whatif/view'
import './why.css'

/** shown is how many campaigns are named as causes. */
const shown = 6

/** Why says whose doing it is that usage went up or down, and leads to what if. */
export function Why({ workspace, zone }: { workspace: string; zone: string }) {
  const [since, setSince] = useState<Since>('yesterday')
  const outlook = useProjection(workspace, {})
  const place = usePlace()
  const open = () => navigate(withQuery(place, changesOf(whatIfOf(place.query))))
  return (
    <Panel
      title="Why did it change?"
      className="why"
      busy={outlook.isPending}
      actions={
        <>
          <Segments
            label="Compared with"
            value={since}
            options={[
              { value: 'yesterday', text: 'Since yesterday' },
              { value: 'week', text: 'Since last week' },
            ]}
            onChange={setSince}
          />
          <button type="button" className="button" aria-haspopup="dialog" onClick={open}>
            What if
          </button>
        </>
      }
    >
      <Loaded query={outlook} skeleton={<WhySkeleton />}>
        {({ burn }) => (
          <>
            <p>{causeOf(burn, since)}</p>
            <p className="soft small">
              <span className="figure">{rounded(burn.per_hour, 1)}</span> credits an hour in the last day, refunds left out
              {isZero(changeOf(burn, since)) ? '' : `, ${change(changeOf(burn, since))} an hour`}
            </p>
            {burn.contributions.length > 0 ? (
              <details className="why-more">
                <summary>Which campaigns</summary>
                <Causes workspace={workspace} burn={burn} since={since} />
              </details>
            ) : null}
          </>
        )}
      </Loaded>
      {isOpen(place.query) ? (
        <WhatIfDialog workspace={workspace} zone={zone} onClose={() => navigate(withQuery(place, closed), { replace: true })} />
      ) : null}
    </Panel>
  )
}

/** change writes more or less in words and figures. */
function change(value: string): string {
  const text = rounded(value.replace('-', ''), 1)
  return value.startsWith('-') ? `${text} less` : `${text} more`
}

function Causes({ workspace, burn, since }: { workspace: string; burn: Burn; since: Since }) {
  const parts = partsOf(burn, since)
  const rest = Math.max(parts.length - shown, 0) + (burn.other?.campaigns ?? 0)
  return (
    <>
      <div className="table-wrap" tabIndex={0} role="region" aria-label="What makes the change">
        <table className="table">
          <caption className="hidden-visually">Campaigns by how much their usage changed</caption>
          <thead>
            <tr>
              <th scope="col">Campaign</th>
              <th scope="col" className="num">
                Credits an hour
              </th>
              <th scope="col" className="num">
                Change
              </th>
              <th scope="col" className="num">
                Part of the change
              </th>
            </tr>
          </thead>
          <tbody>
            {parts.slice(0, shown).map((part) => (
              <Cause key={part.campaign_id} workspace={workspace} part={part} burn={burn} since={since} />
            ))}
          </tbody>
        </table>
      </div>
      {rest > 0 ? (
        <p className="soft small why-rest">
          And {count(rest)} more {rest === 1 ? 'campaign' : 'campaigns'} with smaller changes.
        </p>
      ) : null}
    </>
  )
}

function Cause({ workspace, part, burn, since }: { workspace: string; part: Part; burn: Burn; since: Since }) {
  const value = changeOf(part, since)
  const share = percentOf(part, burn, since)
  return (
    <tr>
      <th scope="row">
        {part.campaign_id ? (
          <Link href={paths.campaign(workspace, part.campaign_id)} className="why-name">
            <bdi>{partName(part)}</bdi>
          </Link>
        ) : (
          'Unattributed'
        )}
      </th>
      <td className="num figure">{rounded(part.per_hour, 1)}</td>
      <td className="num figure">
        {isZero(value) ? (
          '0'
        ) : (
          <>
            <span className="why-way">
              <Icon name={value.startsWith('-') ? 'down' : 'up'} />
              <span className="hidden-visually">{value.startsWith('-') ? 'less' : 'more'}</span>
            </span>
            {rounded(value.replace('-', ''), 1)}
          </>
        )}
      </td>
      <td className="num figure">{share === null ? '–' : sharePercent(share, true)}</td>
    </tr>
  )
}

function WhySkeleton() {
  return (
    <div role="status" className="why-loading">
      <span className="hidden-visually">Loading what changed</span>
      <Skeleton width="24rem" height="1.3rem" />
      <Skeleton width="18rem" height="1.2rem" />
      <Skeleton width="8rem" height="1.2rem" />
    </div>
  )
}
