import type { ReactNode } from 'react'
import type { Schemas } from '../../api/client'
import { useBalance } from '../../api/queries'
import { amount, day, isNegative } from '../../format'
import { Amount } from '../../parts/amount'
import type { List } from '../../parts/campaigns/view'
import { Link } from '../../parts/link'
import { Skeleton } from '../../parts/states'
import { paths } from '../../router'

/** Headline is what one wants to know first, and leads to the rest of it. */
export function Headline({ workspace, zone, list }: { workspace: string; zone: string; list: List | undefined }) {
  const balance = useBalance(workspace)
  const end = balance.data && endOf(balance.data, zone)
  return (
    <section className="panel headline" aria-label="Credits">
      <Figure name="Remaining" failed={balance.isError && !balance.data}>
        {balance.data && (
          <span className={isNegative(balance.data.remaining) ? 'tone-bad' : undefined}>
            <Amount value={balance.data.remaining} />
          </span>
        )}
      </Figure>
      <Figure name="Runs out" note={end?.note} failed={balance.isError && !balance.data}>
        {end && <span className={end.bad ? 'tone-bad' : undefined}>{end.text}</span>}
      </Figure>
      <Figure name="Used this cycle" note={list && cycleOf(list, zone)}>
        {list && <Amount value={list.total.used} />}
      </Figure>
      <Link className="headline-link" href={paths.credits(workspace)}>
        View credits
      </Link>
    </section>
  )
}

function Figure({
  name,
  note,
  failed = false,
  children,
}: {
  name: string
  note?: string | undefined
  failed?: boolean
  children: ReactNode
}) {
  return (
    <div className="headline-figure">
      <p className="soft small">{name}</p>
      <p className="headline-value figure">
        {children ?? (failed ? <span className="soft">Not to be had now</span> : <Skeleton width="7rem" height="1.25rem" />)}
      </p>
      {/* The line is there without a note as well, so that figures stand in a row. */}
      <p className={`soft small ${note ? '' : 'headline-note-none'}`}>{note ?? '\u00a0'}</p>
    </div>
  )
}

/** cycleOf writes the period; its end is exclusive. */
export const cycleOf = ({ from, to }: Pick<List, 'from' | 'to'>, zone: string) =>
  `${day(from, zone)} to ${day(Date.parse(to) - 1, zone)}`

/** endOf says in two words when nothing will be left. */
export function endOf(
  { runway, overdraft, remaining, grants }: Pick<Schemas['Balance'], 'runway' | 'overdraft' | 'remaining' | 'grants'>,
  zone: string,
): { text: string; note?: string; bad?: boolean } {
  if (overdraft !== '0') return { text: 'Overdrawn', note: `by ${amount(overdraft)} credits`, bad: true }
  if (grants.length === 0) return { text: 'No credits yet' }
  if (!(Number(remaining) > 0)) return { text: 'Used up', bad: true }
  if (runway.exhausts_at !== null) {
    const early = runway.p10 ? { note: `as early as ${day(runway.p10, zone)}` } : {}
    return { text: day(runway.exhausts_at, zone), ...early }
  }
  if (runway.reason === 'no_consumption') return { text: 'Nothing is used' }
  if (runway.reason === 'beyond_5_years') return { text: 'Not in 5 years' }
  if (runway.method === 'insufficient_data') return { text: 'Not known yet' }
  return { text: 'Not at this rate' }
}
