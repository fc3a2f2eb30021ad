import { noCampaign } from '../../../parts/campaigns/words'
import type { Change } from '../../../parts/range/fields'
import type { Instants } from '../../../parts/range/presets'
import { Segments } from '../../../parts/segments'
import { CampaignPicker } from './campaignpicker'
import { type Bucket, buckets, type Group, mostPoints, tooMany, type View } from './view'

type ViewProps = {
  workspace: string
  view: View
  range: Required<Instants> | null
  /** Which buckets `auto` came to. */
  chosen: Bucket | null
  campaignName: string
  onChange: Change
}

/** ViewTools choose how it is looked at. */
export function ViewTools({ workspace, view, range, chosen, campaignName, onChange }: ViewProps) {
  return (
    <div className="trends-tools">
      <CampaignPicker
        workspace={workspace}
        campaign={view.campaign}
        name={campaignName}
        range={range}
        onChange={(campaign) => onChange({ campaign: campaign === '' ? noCampaign : campaign })}
      />
      <label className="trends-field">
        <span className="label">By</span>
        <select
          className="select"
          value={view.group}
          onChange={({ target: { value } }) => onChange({ group: (value as Group) === 'campaign' ? null : value })}
        >
          <option value="campaign">Campaign</option>
          <option value="action">Action</option>
          <option value="none">Total only</option>
        </select>
      </label>
      <label className="trends-field">
        <span className="label">Bucket</span>
        <select
          className="select"
          value={view.bucket}
          onChange={({ target: { value } }) => onChange({ bucket: value === 'auto' ? null : value })}
        >
          {buckets.map(({ value, text }) => (
            <BucketOption key={value} value={value} text={text} range={range} chosen={chosen} />
          ))}
        </select>
      </label>
      <Segments
        label="Each bucket, or all up to it"
        value={view.look}
        options={[
          { value: 'bars', text: 'Per bucket' },
          { value: 'cumulative', text: 'Cumulative' },
        ]}
        onChange={(look) => onChange({ view: look === 'bars' ? null : look })}
      />
      <label className="trends-check">
        <input
          type="checkbox"
          checked={view.compare}
          onChange={({ target }) => onChange({ compare: target.checked ? 'previous' : null })}
        />
        Period before
      </label>
      <Segments
        label="Shown as"
        value={view.table ? 'table' : 'chart'}
        options={[
          { value: 'chart', text: 'Chart' },
          { value: 'table', text: 'Table' },
        ]}
        onChange={(as) => onChange({ table: as === 'table' ? '1' : null })}
      />
    </div>
  )
}

type OptionProps = { value: Bucket; text: string; range: Required<Instants> | null; chosen: Bucket | null }

function BucketOption({ value, text, range, chosen }: OptionProps) {
  const out = range !== null && tooMany(value, range.from, range.to)
  const now = value === 'auto' ? buckets.find((b) => b.value === chosen)?.text : undefined
  return (
    <option value={value} disabled={out}>
      {now ? `Auto: ${now}` : text}
      {out ? ` (more than ${mostPoints.toLocaleString('en')} points)` : ''}
    </option>
  )
}
