import type { ReactNode } from 'react'
import { useCounts, useRules } from '../../api/alerts'
import { count, instantSeconds } from '../../format'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { Loaded, Skeleton } from '../../parts/states'
import { usePlace, withQuery } from '../../router'
import { useNow } from '../../shell/freshness'
import type { Props } from './show'
import { noFilters, rangeOf, type State, viewOf } from './view'

/** month is over how long what is resolved is counted. */
const month = { ...viewOf(new URLSearchParams()), range: '30d' as const }

/** Summary says how many alerts there are, and whether rules are being evaluated. */
export function Summary({ workspace, zone }: Props) {
  const now = useNow(60_000)
  const all = useCounts(workspace, {})
  const recent = useCounts(workspace, rangeOf(month, zone, now))
  const query = { ...all, data: all.data && recent.data ? { all: all.data, recent: recent.data } : undefined }
  return (
    <section aria-label="Summary" className="alert-summary">
      <Loaded query={recent.isError ? { ...query, isError: true, error: recent.error } : query} skeleton={<SummarySkeleton />}>
        {(counts) => (
          <ul className="alert-tiles">
            <Tile state="firing" value={counts.all.firing} name="Firing" note={counts.all.firing === 0 ? 'All is well' : 'Now'} />
            <Tile state="pending" value={counts.all.pending} name="Pending" note="Will fire if it goes on" />
            <Tile state="resolved" value={counts.recent.resolved} name="Resolved" note="Of the last 30 days" range="30d" />
          </ul>
        )}
      </Loaded>
      <Evaluation workspace={workspace} zone={zone} />
    </section>
  )
}

type TileProps = { state: State; value: number; name: string; note: string; range?: string }

/** Tile is a count that leads to what it counts. */
function Tile({ state, value, name, note, range }: TileProps) {
  const place = usePlace()
  const to = withQuery(place, { ...noFilters, incident: null, rule: null, part: 'incidents', state, range: range ?? null })
  return (
    <li className={`alert-tile alert-tile-${value > 0 ? state : 'none'}`}>
      <Link href={to} replace>
        <span className="alert-tile-name">{name}</span>
        <span className="alert-tile-value figure">{count(value)}</span>
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

function SummarySkeleton() {
  return (
    <div className="alert-tiles" role="status">
      <span className="hidden-visually">Counting alerts</span>
      <Skeleton height="6.125rem" />
      <Skeleton height="6.125rem" />
      <Skeleton height="6.125rem" />
    </div>
  )
}
