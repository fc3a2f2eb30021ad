import { fromAbsolute, parseDateTime, toCalendarDateTime } from '@internationalized/date'
import { useState } from 'react'
import { type Rule, useSilence } from '../../api/alerts'
import { serverNow } from '../../api/clock'
import { instant } from '../../format'
import { Dialog, DialogFoot } from '../../parts/dialog'
import { Field } from '../../parts/field'
import { errorsOf } from './draft'
import { Problem } from './problem'

type Props = {
  workspace: string
  zone: string
  rule: Rule
  onClose: () => void
  onReload: () => void
  onSaid: (said: string) => void
}

const spans = [
  { key: '1', text: '1 hour' },
  { key: '8', text: '8 hours' },
  { key: '24', text: '24 hours' },
  { key: 'until', text: 'Until a time' },
]

/** untilOf is when a silence ends: hours from now, or a local time; null: there is no such time, or it is past. */
export function untilOf(choice: string, local: string, zone: string, now: number): string | null {
  if (choice !== 'until') return new Date(now + Number(choice) * 3_600_000).toISOString()
  try {
    const at = parseDateTime(local).toDate(zone)
    return at.getTime() > now ? at.toISOString() : null
  } catch {
    return null
  }
}

/** SilenceDialog keeps webhooks quiet for a while, or no longer. */
export function SilenceDialog({ workspace, zone, rule, onClose, onReload, onSaid }: Props) {
  const silence = useSilence(workspace)
  const [choice, setChoice] = useState('1')
  const [local, setLocal] = useState('')
  const [tried, setTried] = useState(false)
  const until = untilOf(choice, local, zone, serverNow())
  const silenced = rule.silenced_until !== null && Date.parse(rule.silenced_until) > serverNow() ? rule.silenced_until : null
  const send = (to: string | null) =>
    silence.mutate(
      { rule_id: rule.rule_id, until: to },
      {
        onSuccess: () => {
          onSaid(to === null ? 'The rule is silent no longer' : `The rule is silent until ${instant(to, zone)}`)
          onClose()
        },
      },
    )
  const wrong = (tried && until === null ? 'Choose a time to come.' : undefined) ?? errorsOf(silence.error).until
  return (
    <Dialog title="Silence the rule" onClose={onClose} busy={silence.isPending}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setTried(true)
          if (until !== null) send(until)
        }}
      >
        <p className="soft">
          The webhooks of <bdi>{rule.name}</bdi> are told nothing until then; its incidents go on and are seen here. What was
          silenced when it fired stays silent when it is resolved.
        </p>
        {silenced ? <p className="notice">It is silent until {instant(silenced, zone)}.</p> : null}
        <div className="field-row">
          <Field label="For">
            {(wiring) => (
              <select {...wiring} className="select" value={choice} onChange={(event) => setChoice(event.target.value)}>
                {spans.map(({ key, text }) => (
                  <option key={key} value={key}>
                    {text}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {choice === 'until' ? (
            <Field label="Until" hint={`In ${zone}`} error={wrong}>
              {(wiring) => (
                <input
                  {...wiring}
                  type="datetime-local"
                  className="input"
                  min={toCalendarDateTime(fromAbsolute(serverNow(), zone))
                    .set({ second: 0, millisecond: 0 })
                    .toString()
                    .slice(0, 16)}
                  value={local}
                  onChange={(event) => setLocal(event.target.value)}
                />
              )}
            </Field>
          ) : (
            <p className="soft small alert-until">{until ? `Until ${instant(until, zone)}` : ''}</p>
          )}
        </div>
        <Problem error={silence.error} onReload={onReload} />
        <DialogFoot>
          {silenced ? (
            <button type="button" className="button alert-foot-first" onClick={() => send(null)} disabled={silence.isPending}>
              End silence
            </button>
          ) : null}
          <button type="button" className="button" onClick={onClose} disabled={silence.isPending}>
            Cancel
          </button>
          <button type="submit" className="button button-main" disabled={silence.isPending}>
            {silence.isPending ? 'Silencing' : 'Silence'}
          </button>
        </DialogFoot>
      </form>
    </Dialog>
  )
}
