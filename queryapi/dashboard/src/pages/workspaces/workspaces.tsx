import type { Schemas } from '../../api/client'

export function Workspaces(_: { me: Schemas['Me'] }) {
  return <h1>Workspaces</h1>
}
