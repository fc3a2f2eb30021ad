import { useState } from 'react'
import type { Schemas } from '../../../api/client'
import { less, sum } from '../../../credits'
import { amount } from '../../../format'
import { Field, fieldErrors } from '../../../parts/field'
import { Segments } from '../../../parts/segments'
import { CreditsField, creditsWord } from './creditsfield'
import { typedCredits, wasGranted } from './entry'
import { ChangeForm } from './form'
import { useChange } from './queries'
import type { Made } from './recorded'

type Props = { workspace: string; balance: Schemas['Balance']; onMade: (made: Made) => void; onClose: () => void }

const fields = ['credits', 'grant_id', 'reason']

/** AdjustDialog adds credits or takes some away; it is never usage. */
export function AdjustDialog({ workspace, balance, onMade, onClose }: Props) {
  const change = useChange(workspace)
  const [sign, setSign] = useState<'add' | 'take'>('add')
  const [text, setText] = useState('')
  const [grant, setGrant] = useState('')
  const [reason, setReason] = useState('')
  const [tried, setTried] = useState(false)
  const typed = typedCredits(text)
  const refused = fieldErrors(change.error)
  const open = balance.grants.filter((g) => wasGranted(g) && (g.status === 'active' || g.status === 'exhausted'))
  const submit = () => {
    setTried(true)
    if (typed.credits === undefined) return false
    const { credits } = typed
    const request = {
      credits: sign === 'add' ? credits : `-${credits}`,
      ...(grant ? { grant_id: grant } : {}),
      ...(reason.trim() ? { reason: reason.trim() } : {}),
    }
    const text = sign === 'add' ? `Added ${creditsWord(credits)}.` : `Took ${creditsWord(credits)} away.`
    change.mutate({ kind: 'adjustment', request }, { onSuccess: (entry) => onMade({ entry, text }) })
    return true
  }
  return (
    <ChangeForm
      title="Adjust the balance"
      action={sign === 'add' ? 'Add credits' : 'Take credits away'}
      acting="Adjusting"
      busy={change.isPending}
      error={change.error}
      fields={fields}
      onSubmit={submit}
      onClose={onClose}
    >
      <div>
        <Segments
          label="Direction"
          value={sign}
          options={[
            { value: 'add', text: 'Add' },
            { value: 'take', text: 'Take away' },
          ]}
          onChange={setSign}
        />
      </div>
      <CreditsField
        value={text}
        error={(tried ? typed.wrong : undefined) ?? refused.credits}
        preview={(credits) =>
          `${creditsWord(credits)}. The balance goes from ${amount(balance.remaining)} to ${amount(after(balance.remaining, sign, credits))}.`
        }
        onChange={setText}
      />
      <Field
        label="Of"
        error={refused.grant_id}
        hint={
          sign === 'take' && grant
            ? 'What the grant does not hold is taken from the others, in the order in which they are used.'
            : 'An adjustment is not usage: burn rate and projections stay as they are.'
        }
      >
        {(wiring) => (
          <select {...wiring} className="select" value={grant} onChange={(event) => setGrant(event.target.value)}>
            <option value="">The workspace</option>
            {open.map((g) => (
              <option key={g.grant_id} value={g.grant_id}>
                Grant {g.grant_id}, {amount(g.remaining)} left
              </option>
            ))}
          </select>
        )}
      </Field>
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

/** after is the balance with an adjustment, exactly. */
export const after = (remaining: string, sign: 'add' | 'take', credits: string) =>
  sign === 'add' ? sum([remaining, credits]) : less(remaining, credits)
