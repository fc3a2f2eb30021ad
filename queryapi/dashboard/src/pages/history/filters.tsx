import { amount } from '../../format'
import { noCampaign } from '../../parts/campaigns/words'
import { Combo, type Option } from '../../parts/combo'
import { useMedia } from '../../parts/media'
import type { Chosen } from '../../parts/range/address'
import { type Change, RangeFields } from '../../parts/range/fields'
import { usualPreset } from '../../parts/range/presets'
import type { Names } from './names'
import { type EntryType, entryTypes, type View } from './view'
import { typeWords } from './words'

type Props = {
  view: View
  chosen: Chosen
  zone: string
  names: Names
  onChange: Change
}

/** everyCampaign is no filter; no id of a campaign may have this character. */
const everyCampaign = '*'

/** Filters narrow the log; all of them are in the address. On a narrow page they are folded away. */
export function Filters(props: Props) {
  const wide = useMedia('(min-width: 44rem)')
  const set = [props.chosen.preset !== usualPreset('log'), props.view.campaign !== null, props.view.types.length > 0].filter(
    Boolean,
  ).length
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

function Fields({ view, chosen, zone, names, onChange }: Props) {
  return (
    <div className="log-filters">
      <RangeFields chosen={chosen} zone={zone} id="log" onChange={onChange} />
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
