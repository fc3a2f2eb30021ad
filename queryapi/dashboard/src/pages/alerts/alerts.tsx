import type { ScreenProps } from '../../app'

export function Alerts(_: ScreenProps) {
  return <h1>Alerts</h1>
}
