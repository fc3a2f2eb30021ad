import type { ReactNode } from 'react'
import { ApiError, type Schemas } from '../../api/client'
import { useBalance } from '../../api/queries'
import { amount, day, isNegative } from '../../format'
import { Amount } from '../../parts/amount'
import type { List } from '../../parts/campaigns/view'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { Skeleton, what } from '../../parts/states'
import { paths } from '../../router'

type Props = {
  workspace: string
  zone: string
  list: List | undefined
  /** Of the list, whose own panel says what is wrong with it. */
  query: { isError: boolean; error: unknown }
}

/** Headline is what one wants to know first, and leads to the rest of it. */
export function Headline({ workspace, zone, list, query }: Props) {
  const balance = useBalance(workspace)
  const end = balance.data && endOf(balance.data, zone)
  return (
    <section className="panel headline" aria-label="Credits">
      <Figure name="Remaining" failed={lost(balance)}>
        {balance.data && (
          <span className={isNegative(balance.data.remaining) ? 'tone-bad' : undefined}>
            <Amount value={balance.data.remaining} />
          </span>
        )}
      </Figure>
      <Figure name="Runs out" note={end?.note} failed={lost(balance)}>
        {end && <span className={end.bad ? 'tone-bad' : undefined}>{end.text}</span>}
      </Figure>
      <Figure name="Used this cycle" note={list && cycleOf(list, zone)} failed={lost(query)}>
        {list && <Amount value={list.total.used} />}
      </Figure>
      <Link className="headline-link" href={paths.credits(workspace)}>
        View credits
      </Link>
      {lost(balance) ? (
        <div className="notice notice-warn headline-failed" role="alert">
          <Icon name="warn" />
          <span>
            {what(balance.error).title}. The balance is {balance.data ? 'from before' : 'not known'}.
          </span>
          <button
            type="button"
            className="button button-quiet"
            onClick={() => void balance.refetch()}
            disabled={balance.isFetching}
          >
            Retry
          </button>
        </div>
      ) : null}
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
      <p className="headline-value figure">{children ?? (failed ? <Unknown /> : <Skeleton width="7rem" height="1.25rem" />)}</p>
      {/* The line is there without a note as well, so that figures stand in a row. */}
      <p className={`soft small ${note ? '' : 'headline-note-none'}`}>{note ?? '\u00a0'}</p>
    </div>
  )
}

/** Unknown stands where a figure cannot be. */
function Unknown() {
  return (
    <span className="soft">
      <span aria-hidden="true">–</span>
      <span className="hidden-visually">Not known</span>
    </span>
  )
}

/** lost says that a figure did not come. Of who is signed out the page asks at that moment, and says so as a whole. */
const lost = ({ isError, error }: Props['query']) => isError && !(error instanceof ApiError && error.status === 401)

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
