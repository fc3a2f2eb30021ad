import type { ReactNode } from 'react'
import { useCounts, useRules } from '../../api/alerts'
import { count, instantSeconds } from '../../format'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { instantsOf, type Preset } from '../../parts/range/presets'
import { Skeleton, what } from '../../parts/states'
import { usePlace, withQuery } from '../../router'
import { useNow } from '../../shell/freshness'
import type { Props } from './show'
import { noFilters, type State } from './view'

/** month is over how long what is resolved is counted. */
const month = 'last_30_days'

/** Summary says how many alerts there are, and whether rules are being evaluated. */
export function Summary({ workspace, zone, weekStart }: Props) {
  const now = useNow(60_000)
  const all = useCounts(workspace, {})
  const recent = useCounts(workspace, instantsOf(month, { zone, now, weekStart, looks: 'log', balance: undefined }) ?? {})
  // Both or none: a figure that is missing would look like a zero.
  const failed = [all, recent].find((query) => query.isError && query.data === undefined)
  return (
    <section aria-label="Summary" className="alert-summary">
      {failed ? (
        <div className="notice notice-bad alert-notice" role="alert">
          <span>Alerts cannot be counted. {what(failed.error).title}.</span>
          <button
            type="button"
            className="button"
            disabled={failed.isFetching}
            onClick={() => void Promise.all([all.refetch(), recent.refetch()])}
          >
            Retry
          </button>
        </div>
      ) : (
        <ul className="alert-tiles" aria-busy={!all.data || !recent.data || undefined}>
          <Tile state="firing" value={all.data?.firing} name="Firing" note={all.data?.firing === 0 ? 'All is well' : 'Now'} />
          <Tile state="pending" value={all.data?.pending} name="Pending" note="Will fire if it goes on" />
          <Tile state="resolved" value={recent.data?.resolved} name="Resolved" note="Of the last 30 days" preset={month} />
        </ul>
      )}
      <Evaluation workspace={workspace} zone={zone} />
    </section>
  )
}

type TileProps = { state: State; value: number | undefined; name: string; note: string; preset?: Preset }

/** Tile is a count that leads to what it counts. */
function Tile({ state, value, name, note, preset }: TileProps) {
  const place = usePlace()
  const to = withQuery(place, { ...noFilters, incident: null, rule: null, part: 'incidents', state, preset: preset ?? null })
  return (
    <li className={`alert-tile alert-tile-${value ? state : 'none'}`}>
      <Link href={to} replace>
        <span className="alert-tile-name">{name}</span>
        <span className="alert-tile-value figure">
          {value === undefined ? <Skeleton width="2ch" height="0.8em" /> : count(value)}
        </span>
        <span className="soft small">{note}</span>
      </Link>
    </li>
  )
}

/** Evaluation warns while rules are not evaluated: an alert that does not come looks as if all were well. */
function Evaluation({ workspace, zone }: { workspace: string; zone: string }) {
  const rules = useRules(workspace)
  const stale = rules.data?.find((rule) => rule.status?.stale)
  if (!stale) return null
  const at = stale.status?.evaluated_at
  return (
    <Warning>
      Rules have not been evaluated{at ? ` since ${instantSeconds(at, zone)}` : ' yet'}, because counting stands still. No alert
      fires or is resolved until it goes on.
    </Warning>
  )
}

/** Warning is a notice with its sign. */
export function Warning({ children }: { children: ReactNode }) {
  return (
    <p className="notice notice-warn alert-notice" role="status">
      <Icon name="warn" />
      <span>{children}</span>
    </p>
  )
}
