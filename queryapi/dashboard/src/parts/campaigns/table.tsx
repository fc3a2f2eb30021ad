import type { ReactNode } from 'react'
import { isZero, less, share, sum } from '../../credits'
import type { Place } from '../../router'
import { useNow } from '../../shell/freshness'
import { Amount, fractionWidth } from '../amount'
import { Icon } from '../icon'
import { Skeleton } from '../states'
import { Chunk, chunkSize, chunksOf } from './chunk'
import { type ColumnKey, columns, type Layout, layouts } from './columns'
import { CampaignRow, Cell, Share } from './row'
import { type List, show, sorted, type View } from './view'
import { restLabel, sharePercent } from './words'
import './table.css'

type Props = {
  layout: Layout
  caption: string
  list: List
  place: Place
  view: View
  zone: string
  /** Where a campaign leads to. */
  hrefOf: (campaignId: string) => string
}

/** agoEvery is how often "3 minutes ago" is written anew, in milliseconds. */
const agoEvery = 30_000

/** CampaignTable is a list of campaigns with figures that add up to the workspace's. */
export function CampaignTable({ layout, caption, list, place, view, zone, hrefOf }: Props) {
  const now = useNow(agoEvery)
  const keys = layouts[layout]
  const { items, total, unattributed, whole } = list
  const filtered = view.q !== '' || view.status !== null
  const rest = less(total.used, sum([unattributed.used, ...items.map((c) => c.used)]))
  const fraction = fractionWidth([total.used, unattributed.used, rest, ...items.map((c) => c.used)])
  const long = items.length > chunkSize
  const footRows = isZero(rest) ? 2 : 3
  const foot = { keys, fraction, total: total.used }
  return (
    // Of a long list rows out of sight are not there, so it is said how many there are, as far as anybody knows.
    <table
      className={`table campaign-table campaign-table-${layout}`}
      aria-rowcount={long ? (whole ? 1 + items.length + footRows : -1) : undefined}
    >
      <caption className="hidden-visually">{caption}</caption>
      <Head keys={keys} view={view} place={place} />
      {chunksOf(items).map((chunk, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a chunk is its place in the list
        <Chunk key={i} rows={chunk.length} always={!long}>
          {() =>
            chunk.map((campaign, at) => (
              <CampaignRow
                key={campaign.campaign_id}
                index={long ? i * chunkSize + at + 2 : undefined}
                campaign={campaign}
                keys={keys}
                href={hrefOf(campaign.campaign_id)}
                zone={zone}
                now={now}
                fraction={fraction}
                share={layout === 'usage' ? partOf(campaign.used, total.used) : null}
              />
            ))
          }
        </Chunk>
      ))}
      <tbody className="campaign-rest">
        <FootRow {...foot} name="Unattributed" note="Used by no campaign" used={unattributed.used} />
        {isZero(rest) ? null : <FootRow {...foot} name={restLabel({ filtered, whole })} used={rest} />}
      </tbody>
      <tfoot>
        <FootRow {...foot} name="Total" note="The whole workspace" used={total.used} />
      </tfoot>
    </table>
  )
}

/** partOf is a share of the total in words; null: there is none to be a part of. */
function partOf(used: string, total: string): string | null {
  const value = share(used, total)
  return value === null ? null : sharePercent(value, true)
}

function Head({ keys, view, place }: { keys: readonly ColumnKey[]; view: View; place: Place }) {
  return (
    <thead>
      <tr>
        {keys.map((key) => {
          const { title, sort, num = false } = columns[key]
          const at = `cell-${key} ${num ? 'num' : ''}`
          if (!sort) {
            return (
              <th scope="col" key={key} className={`${at} head-fixed`}>
                {title}
              </th>
            )
          }
          const now = view.sort !== sort ? 'none' : view.order === 'asc' ? 'ascending' : 'descending'
          return (
            <th scope="col" key={key} className={at} aria-sort={now}>
              <button type="button" className="sort" onClick={() => show(place, sorted(view, sort))}>
                {title}
                <Icon name={now === 'none' ? 'sort' : now === 'ascending' ? 'up' : 'down'} />
              </button>
            </th>
          )
        })}
      </tr>
    </thead>
  )
}

type FootProps = { keys: readonly ColumnKey[]; fraction: number; total: string; name: string; note?: ReactNode; used: string }

/** FootRow is an amount that belongs to no campaign. */
function FootRow({ keys, fraction, total, name, note, used }: FootProps) {
  return (
    <tr className="campaign-foot">
      {keys.map((key) => {
        switch (key) {
          case 'name':
            return (
              <th scope="row" key={key} className="cell-name">
                {name}
                {note ? <span className="soft small foot-note">{note}</span> : null}
              </th>
            )
          case 'used':
            return (
              <Cell key={key} of={key}>
                <Amount value={used} fraction={fraction} />
              </Cell>
            )
          case 'share':
            return (
              <Cell key={key} of={key}>
                <Share value={partOf(used, total)} />
              </Cell>
            )
          default:
            return <td key={key} className={`cell-${key} cell-none`} />
        }
      })}
    </tr>
  )
}

/** CampaignTableSkeleton holds the place of so many rows. */
export function CampaignTableSkeleton({ layout, rows = 6 }: { layout: Layout; rows?: number }) {
  const keys = layouts[layout]
  return (
    <div role="status" className="campaign-wrap">
      <span className="hidden-visually">Loading campaigns</span>
      <table className={`table campaign-table campaign-table-${layout}`} aria-hidden="true">
        <thead>
          <tr>
            {keys.map((key) => (
              <th key={key} className={`cell-${key} ${columns[key].num ? 'num' : ''} ${columns[key].sort ? '' : 'head-fixed'}`}>
                <span className="sort">{columns[key].title}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {Array.from({ length: rows }, (_, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
            <tr key={i} className="campaign-row campaign-row-empty">
              {keys.map((key) => (
                <td key={key} className={`cell-${key} ${columns[key].num ? 'num' : ''}`}>
                  <Skeleton width={key === 'name' ? '80%' : '60%'} height="1.1rem" />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
