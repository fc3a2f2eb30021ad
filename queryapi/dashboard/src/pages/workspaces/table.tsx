import { type MouseEvent, memo } from 'react'
import type { Schemas } from '../../api/client'
import { count, day, rounded } from '../../format'
import { Amount, fractionWidth } from '../../parts/amount'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { useMedia } from '../../parts/media'
import { go, paths } from '../../router'
import type { Order, Sort } from './query'
import { endingOf } from './words'

type Headline = Schemas['WorkspaceHeadline']

type Props = {
  workspaces: Headline[]
  zone: string
  now: number
  sort: Sort
  order: Order
  onSort: (by: Sort) => void
}

/** Columns are those that the page has room for. */
type Columns = { wide: boolean; middle: boolean }

/** WorkspaceTable is the headline figures, a workspace a row. */
export function WorkspaceTable({ workspaces, zone, now, sort, order, onSort }: Props) {
  const columns = { wide: useMedia('(min-width: 80rem)'), middle: useMedia('(min-width: 48rem)') }
  const fractions = {
    remaining: fractionWidth(workspaces.map((w) => w.remaining)),
    allocated: fractionWidth(workspaces.map((w) => w.allocated)),
  }
  const sorting = { sort, order, onSort }
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Workspaces">
      <table className="table board">
        <caption className="hidden-visually">Workspaces with their headline figures</caption>
        <thead>
          <tr>
            <th scope="col">Workspace</th>
            <SortHead by="remaining" text="Remaining" num {...sorting} />
            {columns.wide ? (
              <th scope="col" className="num">
                Allocated
              </th>
            ) : null}
            {columns.middle ? <SortHead by="burn_rate" text="Burn rate, 24 h" num {...sorting} /> : null}
            <SortHead by="runway" text="Runs out" {...sorting} />
            {columns.middle ? <th scope="col">Expires</th> : null}
            {columns.wide ? (
              <th scope="col" className="num">
                Active campaigns
              </th>
            ) : null}
          </tr>
        </thead>
        <tbody>
          {workspaces.map((workspace) => (
            <Row
              key={workspace.workspace_id}
              workspace={workspace}
              zone={zone}
              now={now}
              remaining={fractions.remaining}
              allocated={fractions.allocated}
              {...columns}
            />
          ))}
        </tbody>
      </table>
    </div>
  )
}

type HeadProps = { by: Sort; text: string; num?: boolean; sort: Sort; order: Order; onSort: (by: Sort) => void }

function SortHead({ by, text, num = false, sort, order, onSort }: HeadProps) {
  const active = sort === by
  return (
    <th
      scope="col"
      className={num ? 'num' : undefined}
      aria-sort={active ? (order === 'asc' ? 'ascending' : 'descending') : undefined}
    >
      <button type="button" className="sort" onClick={() => onSort(by)}>
        {text}
        <Icon name={active ? (order === 'asc' ? 'up' : 'down') : 'sort'} />
      </button>
    </th>
  )
}

type RowProps = { workspace: Headline; zone: string; now: number; remaining: number; allocated: number } & Columns

const Row = memo(function Row({ workspace, zone, now, remaining, allocated, wide, middle }: RowProps) {
  const ending = endingOf(workspace, zone, now)
  const over = workspace.overdraft !== '0'
  const href = paths.credits(workspace.workspace_id)
  const open = (event: MouseEvent<HTMLTableRowElement>) => {
    // A press on the link, or the end of selecting text, is not meant for the row.
    if (!(event.target as Element).closest('a') && window.getSelection()?.isCollapsed) go(href)
  }
  return (
    <tr className="board-row" onClick={open}>
      <th scope="row">
        <Link href={href} className="board-name">
          <bdi title={workspace.name ?? workspace.workspace_id}>{workspace.name ?? workspace.workspace_id}</bdi>
        </Link>
        {workspace.name === null ? null : <span className="board-id soft small">{workspace.workspace_id}</span>}
      </th>
      <td className={`num ${over ? 'board-bad' : ''}`}>
        <Amount value={workspace.remaining} fraction={remaining} />
      </td>
      {wide ? (
        <td className="num">
          <Amount value={workspace.allocated} fraction={allocated} />
        </td>
      ) : null}
      {middle ? (
        <td className="num">
          <span className="figure">{rounded(workspace.burn_rate['24h'], 1)}</span> <span className="soft small">an hour</span>
        </td>
      ) : null}
      <td>
        <span className={`board-ending board-${ending.tone}`}>
          {ending.tone === 'plain' ? null : <Icon name={ending.tone} />}
          {ending.text}
        </span>
        {ending.more ? <span className="board-early soft small">{ending.more}</span> : null}
      </td>
      {middle ? (
        <td className="nowrap">
          {workspace.expires_at === null ? <span className="soft">Never</span> : day(workspace.expires_at, zone)}
          {workspace.days_remaining === null ? null : (
            <span className="board-id soft small">
              {count(workspace.days_remaining)} {workspace.days_remaining === 1 ? 'day' : 'days'}
            </span>
          )}
        </td>
      ) : null}
      {wide ? <td className="num figure">{count(workspace.active_campaigns)}</td> : null}
    </tr>
  )
})
