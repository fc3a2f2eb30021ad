import { memo, useCallback, useMemo, useState } from 'react'
import type { Schemas } from '../../api/client'
import { serverNow } from '../../api/clock'
import { amountParts, dateKey, longDay } from '../../format'
import { fractionWidth } from '../../parts/amount'
import { useMedia } from '../../parts/media'
import { daysOf } from './log'
import { type Columns, Row } from './row'

type Props = {
  workspace: string
  zone: string
  items: Schemas['HistoryItem'][]
  nameOf: (campaign: string) => string
  /** The rows are those of another question. */
  busy: boolean
}

function useColumns(): Columns {
  // The sidebar takes its part from 56rem on (shell.css).
  const actor = useMedia('(min-width: 80rem)')
  const wide = useMedia('(min-width: 64rem), (min-width: 48rem) and (max-width: 56rem)')
  return { wide, actor, count: (wide ? 5 : 2) + (actor ? 1 : 0) }
}

/** columnWidth has room for the longest of some amounts, with its sign and the space around it. */
function columnWidth(amounts: string[], fraction: number): string {
  let longest = ''
  let most = 0
  for (const amount of amounts) {
    const point = amount.indexOf('.')
    const digits = point < 0 ? amount.length : point
    if (digits > most) [longest, most] = [amount, digits]
  }
  return `max(8rem, calc(${amountParts(longest || '0').whole.length + fraction + 1}ch + 2 * var(--space-3)))`
}

/** List is the entries, a day after another. It is drawn again only if they change. */
export const List = memo(function List({ workspace, zone, items, nameOf, busy }: Props) {
  const columns = useColumns()
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const toggle = useCallback((id: string) => {
    setOpen((before) => {
      const next = new Set(before)
      if (!next.delete(id)) next.add(id)
      return next
    })
  }, [])
  const days = useMemo(() => daysOf(items, (at) => dateKey(at, zone)), [items, zone])
  // Widths hold for all rows, so that figures stand under each other and nothing moves when more come.
  const fraction = useMemo(() => fractionWidth(items.flatMap((item) => [item.change, item.balance_after])), [items])
  const widths = {
    change: columnWidth(
      items.map((item) => item.change),
      fraction,
    ),
    balance: columnWidth(
      items.map((item) => item.balance_after),
      fraction,
    ),
  }
  const change = columns.wide ? widths.change : `max(${widths.change}, ${widths.balance})`
  const today = dateKey(serverNow(), zone)
  return (
    <table className="table log-table" aria-busy={busy || undefined}>
      <caption className="hidden-visually">Entries of the credit history, the newest first</caption>
      <thead>
        <tr>
          {columns.wide ? (
            <>
              <th scope="col" className="log-when">
                When
              </th>
              <th scope="col" className="log-type">
                Type
              </th>
            </>
          ) : null}
          <th scope="col">What</th>
          {columns.actor ? (
            <th scope="col" className="log-actor">
              Actor
            </th>
          ) : null}
          <th scope="col" className="log-change num" style={{ inlineSize: change }}>
            Credits
            {columns.wide ? null : <span className="hidden-visually">, balance after</span>}
          </th>
          {columns.wide ? (
            <th scope="col" className="log-balance num" style={{ inlineSize: widths.balance }}>
              Balance after
            </th>
          ) : null}
        </tr>
      </thead>
      {days.map((day) => (
        <tbody key={day.day}>
          <tr className="log-day">
            <th colSpan={columns.count} scope="rowgroup">
              {longDay(day.at, zone)}
              {day.day === today ? ', today' : ''}
            </th>
          </tr>
          {day.items.map((item) => (
            <Row
              key={item.entry_id}
              workspace={workspace}
              zone={zone}
              item={item}
              nameOf={nameOf}
              columns={columns}
              fraction={fraction}
              open={open.has(item.entry_id)}
              onToggle={toggle}
            />
          ))}
        </tbody>
      ))}
    </table>
  )
})
