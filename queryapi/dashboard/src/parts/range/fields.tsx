import { useState } from 'react'
import { type Chosen, fieldsOf, isSensibleDay } from './address'
import { isPreset, offered, usualPreset } from './presets'

/** Change is parameters of the address; step: one can go back from it. */
export type Change = (changes: Record<string, string | null>, step?: boolean) => void

type Props = {
  chosen: Chosen
  zone: string
  /** Begins the ids of the fields. */
  id: string
  /** Whether the two days are there only once somebody wants to choose them. */
  folded?: boolean
  onChange: Change
}

/** days is the choice of days, which no preset is called. */
const days = '~'

/** RangeFields choose the range of a log: a preset, or the first day and the last, of which either may be open. */
export function RangeFields({ chosen, zone, id, folded = false, onChange }: Props) {
  const [unfolded, setUnfolded] = useState(false)
  const shown = fieldsOf(chosen.range ?? {}, zone)
  const own = chosen.preset === null
  // What the other field shows is kept: a preset becomes the days that it stands for.
  const pick = (name: 'from' | 'to', day: string) => onChange({ preset: null, ...shown, [name]: day })
  const choose = (value: string) => {
    setUnfolded(value === days)
    if (isPreset(value, 'log')) onChange({ preset: value === usualPreset('log') ? null : value, from: null, to: null })
  }
  return (
    <>
      <div className="field">
        <label htmlFor={`${id}-preset`}>Range</label>
        <select
          id={`${id}-preset`}
          className="select"
          value={own || unfolded ? days : (chosen.preset ?? '')}
          onChange={(event) => choose(event.target.value)}
        >
          {offered('log').map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
          {own || folded ? <option value={days}>Chosen days</option> : null}
        </select>
      </div>
      {folded && !own && !unfolded ? null : (
        <>
          <DayField
            id={`${id}-from`}
            label="From"
            value={shown.from}
            min="2000-01-01"
            max={shown.to}
            onPick={(day) => pick('from', day)}
          />
          <DayField
            id={`${id}-to`}
            label="Through"
            value={shown.to}
            min={shown.from}
            max="2099-12-31"
            onPick={(day) => pick('to', day)}
          />
        </>
      )}
    </>
  )
}

type DayProps = { id: string; label: string; value: string; min: string; max: string; onPick: (day: string) => void }

/** DayField takes a day once it is whole: while a year is typed, its first digits are years as well. */
function DayField({ id, label, value, min, max, onPick }: DayProps) {
  const [draft, setDraft] = useState<string | null>(null)
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="date"
        className="input"
        value={draft ?? value}
        {...(min ? { min } : {})}
        {...(max ? { max } : {})}
        onBlur={() => setDraft(null)}
        onChange={(event) => {
          const day = event.target.value
          const whole = day === '' || isSensibleDay(day)
          setDraft(whole ? null : day)
          if (whole) onPick(day)
        }}
      />
    </div>
  )
}
