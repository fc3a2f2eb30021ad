import { fromAbsolute, parseDate, toCalendarDate, toZoned } from '@internationalized/date'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import type { Schemas, Scope } from '../../api/client'
import { serverNow } from '../../api/clock'
import { day } from '../../format'
import { Copy } from '../../parts/copy'
import { Dialog, DialogFoot } from '../../parts/dialog'
import { Field, fieldErrors, focusWrong } from '../../parts/field'
import { Icon } from '../../parts/icon'
import { isSensibleDay } from '../../parts/range/address'
import { what } from '../../parts/states'
import { useCreateKey } from './queries'
import { scopes } from './scopes'

/** expiries are offered in days; '': never, 'date': on a day of one's own. */
const expiries = [
  { key: '30', text: 'In 30 days' },
  { key: '90', text: 'In 90 days' },
  { key: '365', text: 'In a year' },
  { key: 'date', text: 'On a day' },
  { key: '', text: 'Never' },
]

/** expiryOf is when a key ends: days from now, or the end of a local day (isSensibleDay); undefined: never. */
export function expiryOf(choice: string, date: string, zone: string, now: number): string | undefined {
  if (choice === '') return undefined
  if (choice !== 'date') return new Date(now + Number(choice) * 86_400_000).toISOString()
  return toZoned(parseDate(date).add({ days: 1 }), zone)
    .toDate()
    .toISOString()
}

type Props = { workspace: string; zone: string; own: Scope[]; onClose: () => void }

/** CreateKey asks what a key is for, then shows its secret once. */
export function CreateKey({ workspace, zone, own, onClose }: Props) {
  const create = useCreateKey(workspace)
  const made = create.data
  // Escape loses no secret that has just been made.
  return (
    <Dialog
      title={made ? 'Copy the key now' : 'Create an API key'}
      onClose={onClose}
      busy={create.isPending || made !== undefined}
    >
      {made ? (
        <Secret made={made} zone={zone} onClose={onClose} />
      ) : (
        <Request zone={zone} own={own} create={create} onClose={onClose} />
      )}
    </Dialog>
  )
}

type RequestProps = Omit<Props, 'workspace'> & { create: ReturnType<typeof useCreateKey> }

function Request({ zone, own, create, onClose }: RequestProps) {
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<Scope[]>([])
  const [expiry, setExpiry] = useState('90')
  const [date, setDate] = useState('')
  const [tried, setTried] = useState(false)
  const refused = fieldErrors(create.error)
  const wrong = {
    name: name.trim() === '' ? 'Give it a name that says which program uses it.' : undefined,
    scopes: chosen.length === 0 ? 'Choose at least one.' : undefined,
    expires_at: expiry === 'date' && !isSensibleDay(date) ? 'Choose a day.' : undefined,
  }
  const errorOf = (field: keyof typeof wrong) => (tried ? wrong[field] : undefined) ?? refused[field]
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    setTried(true)
    if (wrong.name || wrong.scopes || wrong.expires_at) return focusWrong(form)
    const expires_at = expiryOf(expiry, date, zone, serverNow())
    create.mutate(
      { name: name.trim(), scopes: chosen, ...(expires_at ? { expires_at } : {}) },
      { onError: () => focusWrong(form) },
    )
  }
  const toggle = (scope: Scope, on: boolean) => setChosen(on ? [...chosen, scope] : chosen.filter((s) => s !== scope))
  const general = create.error && Object.keys(refused).length === 0 ? what(create.error) : null
  return (
    <form onSubmit={submit} noValidate>
      <Field label="Name" hint="Which program uses it, such as nightly report." error={errorOf('name')}>
        {(wiring) => (
          <input
            {...wiring}
            className="input"
            dir="auto"
            maxLength={128}
            autoComplete="off"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </Field>
      <fieldset className="choices" aria-describedby={errorOf('scopes') ? 'key-scopes-error' : undefined}>
        <legend className="label">What it may do. No more than you may.</legend>
        {scopes
          .filter(({ scope }) => own.includes(scope))
          .map(({ scope, may, more }) => (
            <label className="choice" key={scope}>
              <input type="checkbox" checked={chosen.includes(scope)} onChange={(event) => toggle(scope, event.target.checked)} />
              <span>
                {may} <code className="soft">{scope}</code>
                <span className="soft small">{more}</span>
              </span>
            </label>
          ))}
        {errorOf('scopes') ? (
          <p className="field-error" id="key-scopes-error">
            {errorOf('scopes')}
          </p>
        ) : null}
      </fieldset>
      <Expiry expiry={expiry} date={date} zone={zone} error={errorOf('expires_at')} onExpiry={setExpiry} onDate={setDate} />
      {general ? (
        <p className="notice notice-bad" role="alert">
          {general.title}. {general.detail}
        </p>
      ) : null}
      <DialogFoot>
        <button type="button" className="button" onClick={onClose} disabled={create.isPending}>
          Cancel
        </button>
        <button type="submit" className="button button-main" disabled={create.isPending}>
          {create.isPending ? 'Creating' : 'Create key'}
        </button>
      </DialogFoot>
    </form>
  )
}

type ExpiryProps = {
  expiry: string
  date: string
  zone: string
  error: string | undefined
  onExpiry: (expiry: string) => void
  onDate: (date: string) => void
}

function Expiry({ expiry, date, zone, error, onExpiry, onDate }: ExpiryProps) {
  return (
    <div className="field-row">
      <Field
        label="Expires"
        error={expiry === 'date' ? undefined : error}
        {...(expiry === '' ? { hint: 'A key that never expires is good until somebody revokes it.' } : {})}
      >
        {(wiring) => (
          <select {...wiring} className="select" value={expiry} onChange={(event) => onExpiry(event.target.value)}>
            {expiries.map(({ key, text }) => (
              <option key={key} value={key}>
                {text}
              </option>
            ))}
          </select>
        )}
      </Field>
      {expiry === 'date' ? (
        <Field label="Last day" error={error}>
          {(wiring) => (
            <input
              {...wiring}
              type="date"
              className="input"
              min={toCalendarDate(fromAbsolute(serverNow(), zone)).toString()}
              max="2099-12-30"
              value={date}
              onChange={(event) => onDate(event.target.value)}
            />
          )}
        </Field>
      ) : null}
    </div>
  )
}

/** Secret shows a new key, this once. */
function Secret({ made, zone, onClose }: { made: Schemas['NewKey']; zone: string; onClose: () => void }) {
  const shown = useRef<HTMLParagraphElement>(null)
  // What was focused, the button that created it, is gone.
  useEffect(() => shown.current?.focus(), [])
  return (
    <>
      <p className="notice notice-warn" role="alert">
        <Icon name="warn" />
        <span>This is the only time that it is shown. It is kept nowhere; if it is lost, create another one.</span>
      </p>
      <p className="secret" tabIndex={-1} ref={shown}>
        <code>{made.key}</code>
      </p>
      <p className="soft small">
        <bdi>{made.name}</bdi>, {made.expires_at === null ? 'never expires' : `expires on ${day(made.expires_at, zone)}`}.
        Programs send it in the header <code>Authorization: Bearer</code>.
      </p>
      <DialogFoot>
        <Copy text={made.key} what="key" label />
        <button type="button" className="button button-main" onClick={onClose}>
          I have it
        </button>
      </DialogFoot>
    </>
  )
}
