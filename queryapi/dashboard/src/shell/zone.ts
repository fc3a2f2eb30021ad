import { createContext, useContext } from 'react'
import { usePlace } from '../router'

/** Which zone times are told in: the workspace's, UTC, or this device's. */
export type ZoneChoice = 'workspace' | 'utc' | 'browser'

/** WorkspaceZone is the IANA zone of the workspace that is shown. */
export const WorkspaceZone = createContext('UTC')

/** browserZone is the device's. */
export const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone

/** useZone is the zone that the address names, with `zone=utc` or `zone=browser`; else the workspace's. */
export function useZone(): { choice: ZoneChoice; zone: string } {
  const own = useContext(WorkspaceZone)
  const { query } = usePlace()
  switch (query.get('zone')) {
    case 'utc':
      return { choice: 'utc', zone: 'UTC' }
    case 'browser':
      return { choice: 'browser', zone: browserZone() }
    default:
      return { choice: 'workspace', zone: own }
  }
}
