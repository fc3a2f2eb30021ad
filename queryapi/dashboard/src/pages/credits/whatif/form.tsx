import { fromAbsolute, toCalendarDate } from '@internationalized/date'
import { useId } from 'react'
import { serverNow } from '../../../api/clock'
import { Picker } from './picker'
import { expiresError, grantError, mostScale, type WhatIf } from './view'

type Props = { workspace: string; zone: string; draft: WhatIf; onChange: (next: WhatIf) => void }

/** Form is what is changed: usage, a grant, campaigns that pause. */
export function Form({ workspace, zone, draft, onChange }: Props) {
  return (
    <form className="whatif-form" onSubmit={(event) => event.preventDefault()}>
      <Scale value={draft.scale} onChange={(scale) => onChange({ ...draft, scale })} />
      <Grant zone={zone} draft={draft} onChange={onChange} />
      <Picker workspace={workspace} chosen={draft.pause} onChange={(pause) => onChange({ ...draft, pause })} />
    </form>
  )
}

function Scale({ value, onChange }: { value: number; onChange: (value: number) => void }) {
  const id = useId()
  const set = (text: string) => onChange(Math.min(Math.max(Math.round(Number(text)) || 0, 0), mostScale))
  return (
    <div className="field">
      <label htmlFor={id}>Usage, in percent of what is expected</label>
      <div className="whatif-scale">
        <input
          type="range"
          min={0}
          max={mostScale}
          step={5}
          value={value}
          aria-label="Usage in percent"
          aria-valuetext={`${value} %`}
          onChange={(event) => set(event.target.value)}
        />
        <input
          id={id}
          className="input figure"
          type="number"
          inputMode="numeric"
          min={0}
          max={mostScale}
          value={value}
          onChange={(event) => set(event.target.value)}
        />
        <span aria-hidden="true">%</span>
      </div>
    </div>
  )
}

function Grant({ zone, draft, onChange }: Pick<Props, 'zone' | 'draft' | 'onChange'>) {
  const [credits, expires] = [useId(), useId()]
  const wrong = grantError(draft.grant)
  const late = expiresError(draft.expires, zone)
  return (
    <div className="field-row">
      <div className="field">
        <label htmlFor={credits}>Add a grant, in credits</label>
        <input
          id={credits}
          className="input figure"
          inputMode="decimal"
          autoComplete="off"
          placeholder="None"
          value={draft.grant}
          aria-invalid={wrong !== '' || undefined}
          aria-describedby={wrong ? `${credits}-error` : undefined}
          onChange={(event) => onChange({ ...draft, grant: event.target.value })}
        />
        {wrong ? (
          <p className="field-error" id={`${credits}-error`}>
            {wrong}
          </p>
        ) : null}
      </div>
      <div className="field">
        <label htmlFor={expires}>Which expires on</label>
        <input
          id={expires}
          className="input"
          type="date"
          min={toCalendarDate(fromAbsolute(serverNow(), zone)).add({ days: 1 }).toString()}
          value={draft.expires}
          aria-invalid={late !== '' || undefined}
          aria-describedby={late ? `${expires}-error` : undefined}
          onChange={(event) => onChange({ ...draft, expires: event.target.value })}
        />
        {late ? (
          <p className="field-error" id={`${expires}-error`}>
            {late}
          </p>
        ) : null}
      </div>
    </div>
  )
}
