import { navigate, type Place, withQuery } from '../../router'
import type { View } from './view'

/** Props are what every part of the tab gets; write says whether one may change rules. */
export type Props = { workspace: string; zone: string; view: View; write: boolean }

/** show changes the view without leaving a step to go back to. */
export function show(place: Place, changes: Record<string, string | null>) {
  navigate(withQuery(place, changes), { replace: true })
}
