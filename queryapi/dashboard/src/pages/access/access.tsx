import { serverNow } from '../../api/clock'
import { can } from '../../api/queries'
import { zoneName } from '../../format'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import type { ScreenProps } from '../screen'
import { Settings } from '../settings'
import { AuditLog } from './auditlog'
import { Keys } from './keys'
import { You } from './you'
import './access.css'

/** Access is who one is here, the API keys, and who changed what. */
export function Access({ me, workspace }: ScreenProps) {
  const { zone } = useZone()
  const scopes = me.workspaces.find((w) => w.workspace_id === workspace)?.scopes ?? []
  const note = `Times in ${zoneName(zone, serverNow())}.`
  return (
    <Settings me={me} workspace={workspace} actions={<ZonePicker />}>
      <You subject={me.subject} scopes={scopes} />
      {scopes.length > 0 ? <Keys workspace={workspace} zone={zone} subject={me.subject} own={scopes} note={note} /> : null}
      {can(me, workspace, 'credits:read') && can(me, workspace, 'credits:admin') ? (
        <AuditLog workspace={workspace} zone={zone} note={note} />
      ) : null}
    </Settings>
  )
}
