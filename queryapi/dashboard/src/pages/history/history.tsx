import { useLive } from '../../api/live'
import { can } from '../../api/queries'
import { Link } from '../../parts/link'
import { weekStartOf } from '../../parts/range/week'
import { paths } from '../../router'
import { FreshnessLine, StaleNotice } from '../../shell/freshness'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import type { ScreenProps } from '../screen'
import { NoCredits } from '../settings'
import { HistoryPanel } from './panel'
import './history.css'

/** History is everything that changed the balance, newest first. */
export function History({ me, workspace }: ScreenProps) {
  if (!can(me, workspace, 'credits:read')) {
    return (
      <>
        <h1>Credit History</h1>
        <NoCredits />
      </>
    )
  }
  return <Shown me={me} workspace={workspace} params={{}} />
}

function Shown({ me, workspace }: ScreenProps) {
  const live = useLive(workspace)
  const { zone } = useZone()
  return (
    <>
      <div className="page-head">
        <div>
          <Breadcrumb workspace={workspace} />
          <h1>Credit History</h1>
        </div>
        <div className="page-tools">
          <FreshnessLine live={live} zone={zone} />
          <ZonePicker />
        </div>
      </div>
      <StaleNotice live={live} />
      <HistoryPanel
        workspace={workspace}
        zone={zone}
        weekStart={weekStartOf(me, workspace)}
        mayExport={can(me, workspace, 'credits:export')}
      />
    </>
  )
}

function Breadcrumb({ workspace }: { workspace: string }) {
  return (
    <nav className="breadcrumb" aria-label="Breadcrumb">
      <ol>
        <li>
          <Link href={paths.credits(workspace)}>Settings</Link>
        </li>
        <li>
          <Link href={paths.credits(workspace)}>Credits</Link>
        </li>
        <li aria-current="page">Credit History</li>
      </ol>
    </nav>
  )
}
