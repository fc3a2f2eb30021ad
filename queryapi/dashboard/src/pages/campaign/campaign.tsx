import type { ScreenProps } from '../../app'

export function Campaign(_: ScreenProps) {
  return <h1>Campaign</h1>
}
