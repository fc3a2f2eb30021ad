import { useState } from 'react'
import type { Schemas } from '../../../api/client'
import { serverNow } from '../../../api/clock'
import { zoneName } from '../../../format'
import { Field, fieldErrors } from '../../../parts/field'
import { Segments } from '../../../parts/segments'
import { CreditsField, creditsWord } from './creditsfield'
import { isId, typedCredits, typedInstant, typedPriority } from './entry'
import { ChangeForm } from './form'
import { useChange } from './queries'
import type { Made } from './recorded'

type Props = { workspace: string; zone: string; onMade: (made: Made) => void; onClose: () => void }

type Typing = { credits: string; class: 'paid' | 'promo'; from: string; to: string; priority: string; id: string; note: string }

const fields = ['credits', 'effective_at', 'expires_at', 'priority', 'grant_id', 'note']

/** GrantDialog adds a grant. */
export function GrantDialog({ workspace, zone, onMade, onClose }: Props) {
  const change = useChange(workspace)
  const [typing, setTyping] = useState<Typing>({ credits: '', class: 'paid', from: '', to: '', priority: '', id: '', note: '' })
  const [tried, setTried] = useState(false)
  const set = (changes: Partial<Typing>) => setTyping({ ...typing, ...changes })
  const { request, wrong } = grantOf(typing, zone, serverNow())
  const refused = fieldErrors(change.error)
  const errorOf = (field: string) => (tried ? wrong[field] : undefined) ?? refused[field]
  const submit = () => {
    setTried(true)
    if (request === null) return false
    const { effective_at } = request
    change.mutate(
      { kind: 'grant', request },
      {
        onSuccess: (entry) => {
          const later = effective_at && Date.parse(effective_at) > serverNow() ? effective_at : undefined
          onMade({ entry, text: `Granted ${creditsWord(request.credits)}.`, effectiveAt: later })
        },
      },
    )
    return true
  }
  return (
    <ChangeForm
      title="Add a grant"
      action="Add grant"
      acting="Adding"
      busy={change.isPending}
      error={change.error}
      fields={fields}
      onSubmit={submit}
      onClose={onClose}
    >
      <CreditsField
        value={typing.credits}
        error={errorOf('credits')}
        preview={(credits) => `${creditsWord(credits)} will be granted.`}
        onChange={(credits) => set({ credits })}
      />
      <div className="field">
        <span className="label">Class</span>
        <div>
          <Segments
            label="Class"
            value={typing.class}
            options={[
              { value: 'paid', text: 'Paid' },
              { value: 'promo', text: 'Promo' },
            ]}
            onChange={(value) => set({ class: value })}
          />
        </div>
      </div>
      <div className="field-row">
        <Field label="Takes effect" hint={`Empty: now. ${zoneName(zone, serverNow())}.`} error={errorOf('effective_at')}>
          {(wiring) => (
            <input
              {...wiring}
              type="datetime-local"
              className="input"
              max="2099-12-31T00:00"
              value={typing.from}
              onChange={(event) => set({ from: event.target.value })}
            />
          )}
        </Field>
        <Field label="Expires" hint="Empty: never." error={errorOf('expires_at')}>
          {(wiring) => (
            <input
              {...wiring}
              type="datetime-local"
              className="input"
              max="2099-12-31T00:00"
              value={typing.to}
              onChange={(event) => set({ to: event.target.value })}
            />
          )}
        </Field>
      </div>
      <Field label="Note" hint="Shown in the history." error={errorOf('note')}>
        {(wiring) => (
          <input
            {...wiring}
            className="input"
            dir="auto"
            maxLength={1000}
            value={typing.note}
            onChange={(event) => set({ note: event.target.value })}
          />
        )}
      </Field>
      <details className="more" open={Boolean(errorOf('priority') || errorOf('grant_id')) || undefined}>
        <summary>Priority and id</summary>
        <div className="field-row">
          <Field label="Priority" hint="0 to 1000, lower is used first. Empty: 100." error={errorOf('priority')}>
            {(wiring) => (
              <input
                {...wiring}
                className="input"
                inputMode="numeric"
                value={typing.priority}
                onChange={(event) => set({ priority: event.target.value })}
              />
            )}
          </Field>
          <Field label="Grant id" hint="Empty: a new one." error={errorOf('grant_id')}>
            {(wiring) => (
              <input
                {...wiring}
                className="input"
                maxLength={128}
                autoComplete="off"
                spellCheck={false}
                value={typing.id}
                onChange={(event) => set({ id: event.target.value })}
              />
            )}
          </Field>
        </div>
      </details>
    </ChangeForm>
  )
}

/** grantOf makes the request of what is typed; null: something is wrong with it. */
export function grantOf(typing: Typing, zone: string, now: number) {
  const credits = typedCredits(typing.credits)
  const priority = typedPriority(typing.priority)
  const from = typedInstant(typing.from, zone)
  const to = typedInstant(typing.to, zone)
  const [effective_at, expires_at] = [from.at, to.at]
  const wrong: Record<string, string | undefined> = {
    credits: credits.wrong,
    priority: priority.wrong,
    effective_at: from.wrong,
    expires_at: to.wrong,
  }
  if (expires_at && Date.parse(expires_at) <= (effective_at ? Date.parse(effective_at) : now)) {
    wrong.expires_at = effective_at ? 'Later than it takes effect.' : 'In the future.'
  }
  if (typing.id && !isId(typing.id)) wrong.grant_id = 'Letters, digits and . _ : - only.'
  if (credits.credits === undefined || Object.values(wrong).some(Boolean)) return { request: null, wrong }
  const request: Schemas['GrantRequest'] = {
    credits: credits.credits,
    class: typing.class,
    ...(priority.priority !== undefined ? { priority: priority.priority } : {}),
    ...(effective_at ? { effective_at } : {}),
    ...(expires_at ? { expires_at } : {}),
    ...(typing.id ? { grant_id: typing.id } : {}),
    ...(typing.note.trim() ? { note: typing.note.trim() } : {}),
  }
  return { request, wrong }
}
