import type { ScreenProps } from '../../app'

export function Access(_: ScreenProps) {
  return <h1>Access</h1>
}
