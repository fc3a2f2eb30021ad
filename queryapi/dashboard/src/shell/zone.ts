import { createContext, useContext } from 'react'
import { zoneKnown } from '../format'
import { usePlace } from '../router'

/** Which zone times are told in: the workspace's, UTC, or this device's. */
export type ZoneChoice = 'workspace' | 'utc' | 'browser'

/** WorkspaceZone is the IANA zone of the workspace that is shown; null: none is, or many are. */
export const WorkspaceZone = createContext<string | null>(null)

/** zoneOr is a zone, or UTC where there is none or the browser does not know it: what it cannot tell times in is no zone. */
export const zoneOr = (zone: string | null | undefined) => (zone && zoneKnown(zone) ? zone : 'UTC')

/** browserZone is the device's; one that does not know where it is says `Etc/Unknown`. */
export const browserZone = () => zoneOr(Intl.DateTimeFormat().resolvedOptions().timeZone)

/** useZone is the zone that the address names, with `zone=utc` or `zone=browser`; else the workspace's, or UTC. */
export function useZone(): { choice: ZoneChoice; zone: string } {
  const own = useContext(WorkspaceZone)
  const { query } = usePlace()
  const named = query.get('zone')
  if (named === 'browser') return { choice: 'browser', zone: browserZone() }
  if (named === 'utc' || own === null) return { choice: 'utc', zone: 'UTC' }
  return { choice: 'workspace', zone: own }
}
