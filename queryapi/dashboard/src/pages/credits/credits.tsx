import { type ReactNode, useEffect, useState } from 'react'
import { useLive } from '../../api/live'
import { can, useBalance } from '../../api/queries'
import { useChosenRange } from '../../parts/range/usechosen'
import { weekStartOf } from '../../parts/range/week'
import { FreshnessLine, StaleNotice } from '../../shell/freshness'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import type { ScreenProps } from '../screen'
import { NoCredits, Settings } from '../settings'
import { ByCampaign } from './bycampaign'
import { Remaining } from './remaining'
import { Trends } from './trends/trends'
import { Why } from './why'
import './credits.css'

/** Credits is the dashboard: what is left, how it went, where it goes. */
export function Credits({ me, workspace }: ScreenProps) {
  if (!can(me, workspace, 'credits:read')) {
    return (
      <Settings me={me} workspace={workspace}>
        <NoCredits />
      </Settings>
    )
  }
  return <Dashboard me={me} workspace={workspace} params={{}} />
}

function Dashboard({ me, workspace }: ScreenProps) {
  const live = useLive(workspace)
  const { zone } = useZone()
  const weekStart = weekStartOf(me, workspace)
  const chosen = useChosenRange(workspace, zone, weekStart, 'usage')
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
      <Remaining workspace={workspace} zone={zone} mayChange={can(me, workspace, 'credits:admin')} />
      <Below key={workspace} workspace={workspace}>
        <Why workspace={workspace} zone={zone} />
        <Trends me={me} workspace={workspace} zone={zone} weekStart={weekStart} chosen={chosen} />
        <ByCampaign me={me} workspace={workspace} zone={zone} range={chosen.range} />
      </Below>
    </Settings>
  )
}

/** patience is how long what stands below the balance waits for it, in milliseconds. */
const patience = 1000

/**
 * Below shows what stands below the balance once that has its height, which
 * depends on how many grants there are: nothing moves under the eye. All of it
 * loads meanwhile, and a balance that is late is not waited for.
 */
function Below({ workspace, children }: { workspace: string; children: ReactNode }) {
  const { isPending } = useBalance(workspace)
  const [waited, setWaited] = useState(false)
  useEffect(() => {
    const timer = window.setTimeout(() => setWaited(true), patience)
    return () => window.clearTimeout(timer)
  }, [])
  return <div className={`below ${isPending && !waited ? 'below-waiting' : ''}`}>{children}</div>
}
