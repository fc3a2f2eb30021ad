import { type RefObject, useState } from 'react'
import type { Schemas } from '../../../api/client'
import { amount } from '../../../format'
import { Field, fieldErrors } from '../../../parts/field'
import { creditsWord } from './creditsfield'
import { ChangeForm } from './form'
import { useChange } from './queries'
import type { Made } from './recorded'

type Props = {
  workspace: string
  grant: Schemas['BalanceGrant']
  onMade: (made: Made) => void
  onClose: () => void
  after: RefObject<HTMLElement | null>
}

/** VoidDialog takes back what is left of a grant, after asking. */
export function VoidDialog({ workspace, grant, onMade, onClose, after }: Props) {
  const change = useChange(workspace)
  const [reason, setReason] = useState('')
  const refused = fieldErrors(change.error)
  const submit = () => {
    const request = reason.trim() ? { reason: reason.trim() } : {}
    change.mutate(
      { kind: 'void', grant: grant.grant_id, request },
      { onSuccess: (entry) => onMade({ entry, text: `Voided the grant ${grant.grant_id}.` }) },
    )
    return true
  }
  return (
    <ChangeForm
      title="Void this grant?"
      action="Void grant"
      acting="Voiding"
      busy={change.isPending}
      error={change.error}
      fields={['reason']}
      onSubmit={submit}
      onClose={onClose}
      final
      after={after}
    >
      <p>
        {grant.status === 'scheduled'
          ? `The grant ${grant.grant_id} of ${creditsWord(grant.credits)} will not take effect.`
          : `What is left of the grant ${grant.grant_id}, ${amount(grant.remaining)} of ${creditsWord(grant.credits)}, is taken back. What was used of it stays used.`}{' '}
        This cannot be undone.
      </p>
      <Field label="Reason" hint="Shown in the history." error={refused.reason}>
        {(wiring) => (
          <input
            {...wiring}
            className="input"
            dir="auto"
            maxLength={1000}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        )}
      </Field>
    </ChangeForm>
  )
}
