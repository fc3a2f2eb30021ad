import { type MouseEvent, memo, type ReactNode } from 'react'
import { go, leads } from '../../router'
import { Amount } from '../amount'
import { Badge } from '../badge'
import { Link } from '../link'
import { LastUsedCell, ProjectedCell, QuotaCell } from './cells'
import { type ColumnKey, columns } from './columns'
import { type Campaign, nameOf } from './words'

/** RowProps are what a row needs beside its campaign. */
export type RowProps = {
  campaign: Campaign
  /** Its place in a table of which only a part is there; 1 is the head. */
  index: number | undefined
  keys: readonly ColumnKey[]
  href: string
  zone: string
  now: number
  /** Characters after the decimal mark of the column of amounts. */
  fraction: number
  /** Its part of the total in words, so that a row is drawn anew only when they change. */
  share: string | null
}

/** CampaignRow leads to its campaign wherever it is pressed; the name is the link. */
export const CampaignRow = memo(function CampaignRow(props: RowProps) {
  const { campaign, keys, href } = props
  const open = (event: MouseEvent) => {
    if (event.defaultPrevented || (event.target as Element).closest('a, button, input')) return
    // Who marks a figure to copy it does not want to leave.
    if (window.getSelection()?.isCollapsed === false) return
    if (event.button === 1 || event.metaKey || event.ctrlKey || event.shiftKey) window.open(leads(href), '_blank', 'noopener')
    else if (event.button === 0) go(href)
  }
  return (
    <tr className="campaign-row" aria-rowindex={props.index} onClick={open} onAuxClick={open}>
      {keys.map((key) =>
        key === 'name' ? (
          <th scope="row" key={key} className="cell-name">
            <Link href={href} className="campaign-name" title={nameOf(campaign)}>
              <bdi>{nameOf(campaign)}</bdi>
            </Link>
            {campaign.name === null ? <span className="soft small">No details were sent</span> : null}
          </th>
        ) : (
          <Cell key={key} of={key}>
            {cell(key, props)}
          </Cell>
        ),
      )}
    </tr>
  )
})

/** Cell is one figure of a row; its heading goes with it where there is no room for columns. */
export function Cell({ of, children }: { of: ColumnKey; children?: ReactNode }) {
  const { title, num } = columns[of]
  return (
    <td className={`cell-${of} ${num ? 'num' : ''}`} data-label={title}>
      {children}
    </td>
  )
}

function cell(key: Exclude<ColumnKey, 'name'>, { campaign, zone, now, fraction, share }: RowProps): ReactNode {
  switch (key) {
    case 'status':
      return campaign.status === null ? <span className="soft">Unknown</span> : <Badge status={campaign.status} />
    case 'used':
      return <Amount value={campaign.used} fraction={fraction} />
    case 'share':
      return <Share value={share} />
    case 'quota':
      return <QuotaCell campaign={campaign} zone={zone} />
    case 'projected':
      return <ProjectedCell campaign={campaign} zone={zone} band={false} />
    case 'band':
      return <ProjectedCell campaign={campaign} zone={zone} band />
    case 'last':
      return <LastUsedCell campaign={campaign} zone={zone} now={now} />
  }
}

/** Share is a part of the total. */
export function Share({ value }: { value: string | null }) {
  return value === null ? <span className="soft">–</span> : <span className="figure">{value}</span>
}
