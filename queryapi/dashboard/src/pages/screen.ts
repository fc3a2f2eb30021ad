import type { Schemas } from '../api/client'

/** ScreenProps are what every screen of a workspace gets. */
export type ScreenProps = { me: Schemas['Me']; workspace: string; params: Record<string, string> }
