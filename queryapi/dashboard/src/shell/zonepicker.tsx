import { use } from 'react'
import { serverNow } from '../api/clock'
import { zoneName } from '../format'
import { navigate, usePlace, withQuery } from '../router'
import { browserZone, useZone, WorkspaceZone } from './zone'

/** ZonePicker changes the zone of all times and of the edges of buckets; it stays in the address. */
export function ZonePicker() {
  const place = usePlace()
  const own = use(WorkspaceZone)
  const { choice } = useZone()
  const now = serverNow()
  const usual = own === null ? 'utc' : 'workspace'
  return (
    <select
      className="select"
      aria-label="Time zone"
      value={choice}
      onChange={(event) =>
        navigate(withQuery(place, { zone: event.target.value === usual ? null : event.target.value }), { replace: true })
      }
    >
      {own === null ? null : <option value="workspace">Workspace: {zoneName(own, now)}</option>}
      <option value="utc">UTC</option>
      <option value="browser">This device: {zoneName(browserZone(), now)}</option>
    </select>
  )
}
