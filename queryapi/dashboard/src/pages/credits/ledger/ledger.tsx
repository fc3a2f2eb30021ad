import { useRef, useState } from 'react'
import type { Schemas } from '../../../api/client'
import { Icon } from '../../../parts/icon'
import { AdjustDialog } from './adjustdialog'
import { GrantDialog } from './grantdialog'
import { type Made, Recorded } from './recorded'
import { VoidDialog } from './voiddialog'

type Asked = { kind: 'grant' } | { kind: 'adjust' } | { kind: 'void'; grant: Schemas['BalanceGrant'] }

/** Ledger is which dialog is open, and what was written last. */
export type Ledger = ReturnType<typeof useLedger>

/** useLedger is for who may change credits (credits:admin); for others nothing of it shows. */
export function useLedger(mayChange: boolean) {
  const [asked, setAsked] = useState<Asked | null>(null)
  const [made, setMade] = useState<Made | null>(null)
  const add = useRef<HTMLButtonElement>(null)
  const after = useRef<HTMLElement>(null)
  return {
    asked,
    made,
    add,
    after,
    setAsked,
    setMade,
    onVoid: mayChange
      ? (grant: Schemas['BalanceGrant']) => {
          after.current = null
          setAsked({ kind: 'void', grant })
        }
      : null,
  }
}

/** LedgerButtons open the dialogs. */
export function LedgerButtons({ ledger, ready }: { ledger: Ledger; ready: boolean }) {
  return (
    <>
      <button type="button" className="button" ref={ledger.add} onClick={() => ledger.setAsked({ kind: 'grant' })}>
        <Icon name="plus" />
        Add grant
      </button>
      <button type="button" className="button" onClick={() => ledger.setAsked({ kind: 'adjust' })} disabled={!ready}>
        <Icon name="change" />
        Adjust
      </button>
    </>
  )
}

type Props = { workspace: string; zone: string; ledger: Ledger; balance: Schemas['Balance'] | undefined }

/** LedgerState is the open dialog, or how far what was written last has come. */
export function LedgerState({ workspace, zone, ledger, balance }: Props) {
  const { asked, made } = ledger
  const close = () => ledger.setAsked(null)
  const done = (entry: Made) => {
    ledger.setMade(entry)
    // The button of a grant goes with the grant.
    ledger.after.current = ledger.add.current
    close()
  }
  return (
    <>
      {made ? <Recorded workspace={workspace} zone={zone} made={made} onClose={() => ledger.setMade(null)} /> : null}
      {asked?.kind === 'grant' ? <GrantDialog workspace={workspace} zone={zone} onMade={done} onClose={close} /> : null}
      {asked?.kind === 'adjust' && balance ? (
        <AdjustDialog workspace={workspace} balance={balance} onMade={done} onClose={close} />
      ) : null}
      {asked?.kind === 'void' ? (
        <VoidDialog workspace={workspace} grant={asked.grant} onMade={done} onClose={close} after={ledger.after} />
      ) : null}
    </>
  )
}
