import { useState } from 'react'
import { amount } from '../../format'
import { Combo, type Option } from '../../parts/combo'
import { useMedia } from '../../parts/media'
import type { Names } from './names'
import { type EntryType, entryTypes, fieldsOf, isSensibleDay, noCampaign, presets, type Range, type View } from './view'
import { typeWords } from './words'

type Props = {
  view: View
  range: Range
  zone: string
  names: Names
  onChange: (changes: Record<string, string | null>) => void
}

/** everyCampaign is no filter; no id of a campaign may have this character. */
const everyCampaign = '*'

/** Filters narrow the log; all of them are in the address. On a narrow page they are folded away. */
export function Filters(props: Props) {
  const wide = useMedia('(min-width: 44rem)')
  const set = [props.view.preset !== 'all', props.view.campaign !== null, props.view.types.length > 0].filter(Boolean).length
  const fields = <Fields {...props} />
  return (
    <search aria-label="Filters">
      {wide ? (
        fields
      ) : (
        <details className="log-fold">
          <summary className="button">{set === 0 ? 'Filters' : `Filters: ${set} set`}</summary>
          {fields}
        </details>
      )}
    </search>
  )
}

function Fields({ view, range, zone, names, onChange }: Props) {
  return (
    <div className="log-filters">
      <RangeFields view={view} range={range} zone={zone} onChange={onChange} />
      <Combo
        label="Campaign"
        options={campaignOptions(names, view.campaign)}
        value={view.campaign === null ? everyCampaign : view.campaign || noCampaign}
        none={everyCampaign}
        onChange={(key) => onChange({ campaign: key === everyCampaign ? null : key })}
      />
      <Types view={view} onChange={onChange} />
    </div>
  )
}

/** campaignOptions are by what was used in the range, which is shown beside each. */
export function campaignOptions(names: Pick<Names, 'campaigns' | 'unattributed'>, chosen: string | null): Option[] {
  const used = (credits: string) => `${amount(credits)} used`
  const options: Option[] = [{ key: everyCampaign, text: 'All campaigns' }]
  for (const campaign of names.campaigns) {
    options.push({
      key: campaign.campaign_id,
      text: campaign.name ?? campaign.campaign_id,
      hint: used(campaign.used),
      also: campaign.campaign_id,
    })
  }
  const none = names.unattributed
  options.push({ key: noCampaign, text: 'Unattributed', ...(none ? { hint: used(none.used) } : {}) })
  if (chosen && !options.some((option) => option.key === chosen)) options.push({ key: chosen, text: chosen })
  return options
}

function RangeFields({ view, range, zone, onChange }: Omit<Props, 'names'>) {
  const days = fieldsOf(range, zone)
  // What the other field shows is kept: a preset becomes the days that it stands for.
  const pick = (name: 'from' | 'to', day: string) => onChange({ preset: null, ...days, [name]: day })
  return (
    <>
      <div className="field">
        <label htmlFor="log-preset">Range</label>
        <select
          id="log-preset"
          className="select"
          value={view.preset ?? ''}
          onChange={(event) => {
            const preset = event.target.value
            if (preset) onChange({ preset: preset === 'all' ? null : preset, from: null, to: null })
          }}
        >
          {Object.entries(presets).map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
          {view.preset === null ? <option value="">Chosen days</option> : null}
        </select>
      </div>
      <DayField id="log-from" label="From" value={days.from} min="2000-01-01" max={days.to} onPick={(day) => pick('from', day)} />
      <DayField id="log-to" label="Through" value={days.to} min={days.from} max="2099-12-31" onPick={(day) => pick('to', day)} />
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

function Types({ view, onChange }: Pick<Props, 'view' | 'onChange'>) {
  const toggle = (type: EntryType, on: boolean) => {
    const types = entryTypes.filter((t) => (t === type ? on : view.types.includes(t)))
    onChange({ type: types.length === 0 || types.length === entryTypes.length ? null : types.join(',') })
  }
  return (
    <fieldset className="log-types">
      <legend className="label">Type</legend>
      {entryTypes.map((type) => (
        <label key={type} className="pill">
          <input type="checkbox" checked={view.types.includes(type)} onChange={(event) => toggle(type, event.target.checked)} />
          {typeWords[type]}
        </label>
      ))}
    </fieldset>
  )
}
