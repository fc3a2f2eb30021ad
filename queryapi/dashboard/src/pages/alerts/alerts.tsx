import { useLive } from '../../api/live'
import { can } from '../../api/queries'
import { useChosenRange } from '../../parts/range/usechosen'
import { weekStartOf } from '../../parts/range/week'
import { Segments } from '../../parts/segments'
import { usePlace } from '../../router'
import { FreshnessLine, StaleNotice } from '../../shell/freshness'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import type { ScreenProps } from '../screen'
import { NoCredits, Settings } from '../settings'
import { Deliveries } from './deliveries'
import { Incidents } from './incidents'
import { Rules } from './rules'
import { show } from './show'
import { Summary } from './summary'
import { type Part, viewOf } from './view'
import './alerts.css'

/** Alerts is who is told of what, and what has happened. */
export function Alerts(props: ScreenProps) {
  if (can(props.me, props.workspace, 'credits:read')) return <AlertsTab {...props} />
  return (
    <Settings me={props.me} workspace={props.workspace}>
      <NoCredits />
    </Settings>
  )
}

const partNames: { value: Part; text: string }[] = [
  { value: 'incidents', text: 'Incidents' },
  { value: 'rules', text: 'Rules' },
  { value: 'deliveries', text: 'Deliveries' },
]

function AlertsTab({ me, workspace }: ScreenProps) {
  const live = useLive(workspace)
  const { zone } = useZone()
  const place = usePlace()
  const view = viewOf(place.query)
  const weekStart = weekStartOf(me, workspace)
  const chosen = useChosenRange(workspace, zone, weekStart, 'log')
  const props = { workspace, zone, weekStart, view, chosen, write: can(me, workspace, 'alerts:write') }
  return (
    <Settings
      me={me}
      workspace={workspace}
      actions={
        <div className="page-tools">
          <FreshnessLine live={live} zone={zone} />
          <ZonePicker />
        </div>
      }
    >
      <StaleNotice live={live} />
      <Summary {...props} />
      <div className="alert-parts">
        <Segments
          label="What is shown"
          value={view.part}
          options={partNames}
          onChange={(part) => show(place, { part, incident: null, rule: null })}
        />
        {props.write ? null : (
          <p className="soft small">You may read alerts. Changing them takes the permission to write alerts.</p>
        )}
      </div>
      {view.part === 'incidents' ? <Incidents {...props} /> : null}
      {view.part === 'rules' ? <Rules {...props} /> : null}
      {view.part === 'deliveries' ? <Deliveries {...props} /> : null}
    </Settings>
  )
}
