import { useId, useMemo } from 'react'
import type { Rule } from '../../api/alerts'
import { Combo, type Option } from '../../parts/combo'
import { RangeFields } from '../../parts/range/fields'
import { usePlace } from '../../router'
import { type Props, show } from './show'
import { states, whole } from './view'

type Options = { value: string; text: string }[]

const stateNames = { firing: 'Firing', pending: 'Pending', resolved: 'Resolved' }

/** everything is no filter; no id of a campaign may have this character. */
const everything = '+'

function aboutOptions(campaigns: Lists['campaigns'], chosen: string | null): Option[] {
  const options: Option[] = [
    { key: everything, text: 'Everything' },
    { key: whole, text: 'The workspace itself' },
    ...campaigns.map(({ id, name }) => ({ key: id, text: name, also: id })),
  ]
  if (chosen !== null && !options.some(({ key }) => key === chosen)) options.push({ key: chosen, text: chosen })
  return options
}

type Lists = { rules: Rule[]; campaigns: { id: string; name: string }[] }

/** IncidentFilters narrow the incidents; all of them stand in the address. */
export function IncidentFilters({ view, chosen, zone, rules, campaigns }: Props & Lists) {
  const place = usePlace()
  const about = useMemo(() => aboutOptions(campaigns, view.campaign), [campaigns, view.campaign])
  return (
    <search className="alert-filters">
      <Choice
        label="State"
        all="All states"
        value={view.state}
        options={states.map((value) => ({ value, text: stateNames[value] }))}
        onChange={(state) => show(place, { state })}
      />
      <RuleChoice by={view.by} rules={rules} />
      <Combo
        label="About"
        options={about}
        value={view.campaign ?? everything}
        none={everything}
        onChange={(key) => show(place, { campaign: key === everything ? null : key })}
      />
      <RangeChoice chosen={chosen} zone={zone} />
      <label className="alert-check">
        <input
          type="checkbox"
          checked={view.open}
          onChange={(event) => show(place, { open: event.target.checked ? '1' : null })}
        />
        Not acknowledged
      </label>
    </search>
  )
}

/** RuleChoice is which rule something is of. */
export function RuleChoice({ by, rules }: { by: string | null; rules: Rule[] }) {
  const place = usePlace()
  return (
    <Choice
      label="Rule"
      all="All rules"
      value={by}
      options={rules.map((rule) => ({ value: rule.rule_id, text: rule.name }))}
      onChange={(id) => show(place, { by: id })}
    />
  )
}

/** RangeChoice is since when, or from which day through which. */
export function RangeChoice({ chosen, zone }: Pick<Props, 'chosen' | 'zone'>) {
  const place = usePlace()
  return <RangeFields chosen={chosen} zone={zone} id="alerts" folded onChange={(changes) => show(place, changes)} />
}

type ChoiceProps = {
  label: string
  /** What no choice means. */
  all: string
  value: string | null
  options: Options
  onChange: (value: string | null) => void
}

/** Choice chooses one of some, or all; what the address names is there even if the list does not know it. */
export function Choice({ label, all, value, options, onChange }: ChoiceProps) {
  const id = useId()
  const known = value === null || options.some((option) => option.value === value)
  return (
    <div className="field alert-choice">
      <label htmlFor={id}>{label}</label>
      <select id={id} className="select" value={value ?? ''} onChange={(event) => onChange(event.target.value || null)}>
        <option value="">{all}</option>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
        {known ? null : <option value={value ?? ''}>{value}</option>}
      </select>
    </div>
  )
}
