import type { Schemas } from '../../api/client'
import { Link } from '../../parts/link'
import { Board } from './board'
import './workspaces.css'

/** isOperator tells who sees all workspaces. */
export const isOperator = (me: Schemas['Me']) => me.workspaces.some((w) => w.scopes.includes('operator'))

/** Workspaces is the operators' list of all workspaces. */
export function Workspaces({ me }: { me: Schemas['Me'] }) {
  if (isOperator(me)) return <Board />
  return (
    <>
      <h1>Workspaces</h1>
      <div className="panel state">
        <p className="state-title">This page is for operators</p>
        <p className="soft">It shows all workspaces. Yours are in the menu; ask an administrator if you need to see more.</p>
        <Link className="button" href="/">
          Go to your workspace
        </Link>
      </div>
    </>
  )
}
