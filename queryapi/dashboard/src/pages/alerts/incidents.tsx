import { type IncidentsQuery, useCampaignNames, useCounts, useIncident, useIncidents, useRules } from '../../api/alerts'
import { rows } from '../../api/queries'
import { count, zoneName } from '../../format'
import { More } from '../../parts/more'
import { type Instants, usualPreset } from '../../parts/range/presets'
import { Ranged } from '../../parts/range/ranged'
import { Empty, ErrorState, Loaded } from '../../parts/states'
import { usePlace } from '../../router'
import { useNow } from '../../shell/freshness'
import { IncidentFilters } from './filters'
import { IncidentRow } from './incident'
import { ListSkeleton } from './list'
import { type Props, show } from './show'
import { filtered, incidentsQuery, noFilters } from './view'

/** none is one list for as long as there is none, so that nothing is drawn anew. */
const none: never[] = []

/** Incidents is what has happened, the newest first. */
export function Incidents(props: Props) {
  const { workspace, chosen } = props
  return (
    <section className="panel" aria-label="Incidents">
      <h2 className="hidden-visually">Incidents</h2>
      <div className="panel-head">
        <IncidentFilters
          {...props}
          rules={useRules(workspace).data ?? none}
          campaigns={useCampaignNames(workspace).data ?? none}
        />
      </div>
      <Ranged workspace={workspace} chosen={chosen} skeleton={<ListSkeleton label="Loading incidents" />}>
        {(range) => <Listed {...props} range={range} />}
      </Ranged>
    </section>
  )
}

function Listed({ range, ...props }: Props & { range: Instants }) {
  const { workspace, zone, view } = props
  const now = useNow(60_000)
  const query = incidentsQuery(view, range)
  const pages = useIncidents(workspace, { ...query, ...(view.state ? { state: view.state } : {}) })
  const items = pages.data && rows(pages.data)
  // What a notification leads to is shown, whatever the filters and however long ago.
  const named = useIncident(workspace, view.incident)
  const apart = named.data && items && !items.some((item) => item.incident_id === view.incident) ? named.data : null
  return (
    <div aria-busy={pages.isPending || undefined}>
      {view.incident && named.data === null ? (
        <p className="notice" role="status">
          There is no such incident. It may be older than what is kept.
        </p>
      ) : null}
      {view.incident && named.isError ? <ErrorState error={named.error} onRetry={() => void named.refetch()} /> : null}
      {apart ? (
        <ul className="alert-list alert-list-apart" aria-label="The incident of the link">
          <IncidentRow {...props} incident={apart} />
        </ul>
      ) : null}
      <p className="soft small alert-found">
        <Found workspace={workspace} query={query} state={view.state} shown={items?.length ?? 0} />
        <span>Times are in {zoneName(zone, now)}</span>
      </p>
      <Loaded query={{ ...pages, data: items }} skeleton={<ListSkeleton label="Loading incidents" />}>
        {(list) => (
          <>
            {list.length === 0 ? (
              <None {...props} />
            ) : (
              <ul className={`alert-list ${pages.isPlaceholderData ? 'alert-old' : ''}`} aria-label="Incidents">
                {list.map((incident) => (
                  <IncidentRow key={incident.incident_id} {...props} incident={incident} />
                ))}
              </ul>
            )}
            <More pages={pages} label="Show more incidents" />
          </>
        )}
      </Loaded>
    </div>
  )
}

function None({ view, chosen }: Props) {
  const place = usePlace()
  const ranged = chosen.preset !== usualPreset('log')
  if (!filtered(view) && !ranged) {
    return (
      <Empty title="No alerts yet">
        <p>As soon as what a rule says comes true, it is here.</p>
      </Empty>
    )
  }
  return (
    <Empty title={ranged ? 'No alerts in this range' : 'No alerts match'}>
      <button type="button" className="button" onClick={() => show(place, noFilters)}>
        Clear filters
      </button>
    </Empty>
  )
}

type FoundProps = { workspace: string; query: IncidentsQuery; state: keyof Counts | null; shown: number }
type Counts = { pending: number; firing: number; resolved: number }

/** Found says how many there are with these filters, also to who hears the page. */
function Found({ workspace, query, state, shown }: FoundProps) {
  const { data } = useCounts(workspace, query)
  const n = data ? (state ? data[state] : data.pending + data.firing + data.resolved) : shown
  return <span role="status">{!data ? 'Counting' : n === 1 ? '1 incident' : `${count(n)} incidents`}</span>
}
