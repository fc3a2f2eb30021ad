import type { Incident } from '../../api/alerts'
import { instant, instantSeconds } from '../../format'
import { Badge } from '../../parts/badge'
import { Copy } from '../../parts/copy'
import { Link } from '../../parts/link'
import { paths, usePlace, withQuery } from '../../router'
import { useNow } from '../../shell/freshness'
import { Acknowledged } from './acknowledge'
import { Attempts } from './attempts'
import { Detail, ListRow } from './list'
import { type Props, show } from './show'
import { deliveriesWords, figureWords, headline, lasted, timesOf } from './words'

type RowProps = Props & { incident: Incident }

/** IncidentRow is one incident: what happened, to what, when. */
export function IncidentRow(props: RowProps) {
  const { incident, view, zone, workspace } = props
  const place = usePlace()
  const now = useNow(10_000)
  const times = timesOf(incident, now)
  const open = view.incident === incident.incident_id
  const { acknowledged } = incident
  const { title, over } = headline(incident)
  return (
    <ListRow
      open={open}
      named={open}
      onToggle={() => show(place, { incident: open ? null : incident.incident_id })}
      lead={<Badge status={incident.state} />}
      title={<bdi>{title}</bdi>}
      facts={
        <>
          {over === null ? null : (
            <span className="alert-over">
              <bdi>{over}</bdi>
            </span>
          )}
          <Subject incident={incident} workspace={workspace} />
          <span>
            Rule <bdi>{incident.rule_name ?? incident.rule_id}</bdi>
          </span>
          <span>
            Began <time dateTime={incident.began_at}>{instant(incident.began_at, zone)}</time>
          </span>
          {times.firedAt !== null && times.firedAt !== incident.began_at ? (
            <span>
              Fired <time dateTime={times.firedAt}>{instant(times.firedAt, zone)}</time>
            </span>
          ) : null}
          {times.resolvedAt === null ? (
            <span>{lasted(times)}</span>
          ) : (
            <span>
              Resolved <time dateTime={times.resolvedAt}>{instant(times.resolvedAt, zone)}</time> {lasted(times)}
            </span>
          )}
          <span>{deliveriesWords(incident.deliveries)}</span>
          {acknowledged ? (
            <span>
              Acknowledged by <bdi>{acknowledged.by}</bdi>
            </span>
          ) : incident.state === 'resolved' ? null : (
            <span>Not acknowledged</span>
          )}
        </>
      }
    >
      <IncidentDetails {...props} />
    </ListRow>
  )
}

/** Subject is what an incident is about, with the way there. */
function Subject({ incident, workspace }: { incident: Incident; workspace: string }) {
  if (incident.subject === '') return <span>The workspace</span>
  return (
    <Link href={paths.campaign(workspace, incident.subject)}>
      <bdi>{incident.subject_name ?? incident.subject}</bdi>
    </Link>
  )
}

type Figures = { value?: string; threshold?: string; unit?: string }

function IncidentDetails(props: RowProps) {
  const { incident, zone, workspace } = props
  const place = usePlace()
  // How a rule ends, being deleted for one, may have no figures.
  const details = incident.changes.map((change) => (change.detail ?? {}) as Figures)
  const { value, threshold, unit = '' } = details.findLast((detail) => detail.value !== undefined) ?? {}
  const rule = withQuery(place, { part: 'rules', incident: null, rule: incident.rule_id })
  return (
    <>
      <dl className="alert-details">
        <Detail name="Rule">
          <Link href={rule}>
            <bdi>{incident.rule_name ?? incident.rule_id}</bdi>
          </Link>
        </Detail>
        {value !== undefined ? <Detail name="Figure">{figureWords(value, unit)}</Detail> : null}
        {threshold !== undefined ? <Detail name="Threshold">{figureWords(threshold, unit)}</Detail> : null}
        <Detail name="Acknowledged">
          <Acknowledged {...props} />
        </Detail>
        <Detail name="Incident" wide>
          <code className="alert-id">{incident.incident_id}</code> <Copy text={incident.incident_id} what="incident id" />
        </Detail>
      </dl>
      <h4 className="label">Course</h4>
      <ol className="alert-course">
        {incident.changes.map((change) => (
          <li key={change.state}>
            <Badge status={change.state} />
            <time dateTime={change.at} className="figure">
              {instantSeconds(change.at, zone)}
            </time>
            <bdi>{change.message}</bdi>
          </li>
        ))}
      </ol>
      <h4 className="label">Deliveries</h4>
      <Attempts workspace={workspace} zone={zone} query={{ incident_id: incident.incident_id }} within />
    </>
  )
}
