import type { ScreenProps } from '../../app'

export function Campaigns(_: ScreenProps) {
  return <h1>Campaigns</h1>
}
