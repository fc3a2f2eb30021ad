import { type MouseEvent, memo, useId } from 'react'
import type { Schemas } from '../../api/client'
import { serverNow } from '../../api/clock'
import { dayShort } from '../../format'
import { Amount } from '../../parts/amount'
import { Icon } from '../../parts/icon'
import { Details } from './details'
import { fullWhen, iconOf, type Titles, titlesOf, toneOf, typeWords, unmovedWords, whenOf } from './words'

type Item = Schemas['HistoryItem']

/** Columns are those that the page has room for. */
export type Columns = { wide: boolean; actor: boolean; count: number }

type Props = {
  workspace: string
  zone: string
  item: Item
  nameOf: (campaign: string) => string
  columns: Columns
  fraction: number
  open: boolean
  onToggle: (id: string) => void
}

/** Row is an entry, and under it what is behind it once that is asked for. It is drawn again only if it changes. */
export const Row = memo(function Row({ workspace, zone, item, nameOf, columns, fraction, open, onToggle }: Props) {
  const details = useId()
  const titles = titlesOf(item, nameOf)
  const pressed = (event: MouseEvent<HTMLTableRowElement>) => {
    // A press on something of its own, or the end of selecting text, is not meant for the row.
    if ((event.target as Element).closest('a, button') || !window.getSelection()?.isCollapsed) return
    onToggle(item.entry_id)
  }
  const toggle = (
    <button
      type="button"
      className="button button-icon button-small"
      aria-expanded={open}
      aria-controls={open ? details : undefined}
      aria-label={`Details: ${typeWords[item.type]}, ${titles.main}, ${fullWhen(item, zone)}`}
      onClick={() => onToggle(item.entry_id)}
    >
      <Icon name={open ? 'down' : 'right'} />
    </button>
  )
  return (
    <>
      <tr className={`log-row ${open ? 'log-open' : ''}`} onClick={pressed}>
        {columns.wide ? (
          <>
            <td className="log-when">
              {toggle}
              <When item={item} zone={zone} date />
            </td>
            <td>
              <Type item={item} />
            </td>
          </>
        ) : null}
        <td>
          {columns.wide ? (
            <What item={item} titles={titles} />
          ) : (
            <div className="log-narrow">
              {toggle}
              <What item={item} titles={titles} zone={zone} />
            </div>
          )}
        </td>
        {columns.actor ? (
          <td className="log-actor">
            <bdi className="log-main soft" title={item.actor ?? undefined}>
              {item.actor}
            </bdi>
          </td>
        ) : null}
        <td className="num">
          <span className={`change-${toneOf(item)}`}>
            <Amount value={item.change} fraction={fraction} signed />
          </span>
          {columns.wide ? null : (
            <span className="log-more soft small">
              <span className="hidden-visually">Balance after: </span>
              <Amount value={item.balance_after} fraction={fraction} />
            </span>
          )}
        </td>
        {columns.wide ? (
          <td className="num">
            <Amount value={item.balance_after} fraction={fraction} />
          </td>
        ) : null}
      </tr>
      {open ? (
        <tr className="log-details" id={details}>
          <td colSpan={columns.count}>
            <Details workspace={workspace} zone={zone} item={item} nameOf={nameOf} />
          </td>
        </tr>
      ) : null}
    </>
  )
})

function When({ item, zone, date = false }: { item: Item; zone: string; date?: boolean }) {
  return (
    <time dateTime={item.at} title={item.from && item.to ? `${item.from} / ${item.to}` : item.at}>
      {date ? <span className="soft">{dayShort(item.at, zone)} </span> : null}
      {whenOf(item, zone, serverNow())}
    </time>
  )
}

/** What is what an entry is about; with a zone, for narrow pages, also its type and when it was. */
function What({ item, titles, zone }: { item: Item; titles: Titles; zone?: string }) {
  const late = item.late && item.type === 'consumption' ? <span className="log-late">Late</span> : null
  return (
    <div className="log-what">
      <bdi className="log-main" title={titles.main}>
        {titles.main}
      </bdi>
      {zone ? (
        <span className="log-more soft small">
          <Type item={item} />
        </span>
      ) : null}
      <span className="log-more soft small">
        {zone ? <When item={item} zone={zone} /> : null}
        {zone && late}
        <bdi title={titles.more}>{titles.more}</bdi>
        {!zone && late}
      </span>
      {item.unmoved ? <span className="log-unmoved soft small">{unmovedWords[item.unmoved]}</span> : null}
    </div>
  )
}

function Type({ item }: { item: Item }) {
  return (
    <span className={`log-kind change-${toneOf(item)}`}>
      <Icon name={iconOf(item)} />
      {typeWords[item.type]}
    </span>
  )
}
