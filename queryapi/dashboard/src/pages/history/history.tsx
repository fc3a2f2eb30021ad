import type { ScreenProps } from '../../app'

export function History(_: ScreenProps) {
  return <h1>History</h1>
}
