import type { ReactNode } from 'react'
import { useBalance } from '../../api/queries'
import { Loaded } from '../states'
import type { Chosen } from './address'
import type { Instants } from './presets'

type Props = { workspace: string; chosen: Chosen; skeleton: ReactNode; children: (range: Instants) => ReactNode }

/** Ranged shows what needs the range once it is known: that of a cycle comes with the balance, which may fail. */
export function Ranged({ workspace, chosen, skeleton, children }: Props) {
  if (chosen.range !== null) return children(chosen.range)
  return <Waiting workspace={workspace} skeleton={skeleton} />
}

function Waiting({ workspace, skeleton }: Pick<Props, 'workspace' | 'skeleton'>) {
  const balance = useBalance(workspace)
  return (
    <Loaded query={{ ...balance, data: undefined }} skeleton={skeleton}>
      {() => null}
    </Loaded>
  )
}
