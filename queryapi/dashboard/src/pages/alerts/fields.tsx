import type { ReactNode } from 'react'
import { Field, type Wiring } from '../../parts/field'
import { Segments } from '../../parts/segments'
import { type Draft, type Errors, maxWindows, usualWindow } from './draft'
import { windowWords } from './words'

type Props = {
  draft: Draft
  errors: Errors
  campaigns: { id: string; name: string }[]
  onChange: (changes: Partial<Draft>) => void
}

/** KindFields are the figures of a rule, by what it watches. */
export function KindFields(props: Props) {
  const { draft } = props
  switch (draft.kind) {
    case 'balance_below':
      return (
        <Frame {...props}>
          <AmountField {...props} label="At or below" percentOf="of the allocated credits" />
        </Frame>
      )
    case 'runway_below':
      return (
        <Frame {...props}>
          <Figure {...props} name="days" label="Within" unit="days" />
        </Frame>
      )
    case 'expiring_unused':
      return (
        <Frame {...props}>
          <Figure {...props} name="days" label="Within" unit="days" />
          <AmountField {...props} label="No less than" percentOf="of the allocated credits" />
        </Frame>
      )
    case 'burn_rate':
      return (
        <Frame {...props}>
          <WindowsField {...props} />
        </Frame>
      )
    case 'burn_spike':
      return (
        <Frame {...props}>
          <Figure {...props} name="factor" label="Times what is usual at that hour of the week" unit="times" />
          <Field label="Over" error={props.errors['params.window']}>
            {(wiring) => (
              <WindowSelect
                wiring={wiring}
                value={draft.window}
                options={spikeWindows}
                onChange={(window) => props.onChange({ window })}
              />
            )}
          </Field>
          <AmountField {...props} label="No less than" percentOf="of the allocated credits" />
        </Frame>
      )
    case 'quota_used':
    case 'quota_projected':
      return (
        <Frame {...props}>
          <Figure {...props} name="percent" label="At or above" unit="% of its quota" />
          <CampaignField {...props} />
        </Frame>
      )
    case 'freshness':
      return null
  }
}

/** Frame puts what every kind has below what one kind has. */
function Frame({ children, ...props }: Props & { children: ReactNode }) {
  return (
    <>
      <div className="field-row">{children}</div>
      <details className="more" {...(props.errors['params.for'] || props.errors['params.hysteresis'] ? { open: true } : {})}>
        <summary>When it begins and ends</summary>
        <div className="field-row">
          <Figure
            {...props}
            name="held"
            at="params.for"
            label="Fires after it has held for"
            unit="minutes"
            hint="Forecasts move with every event; a while keeps them from firing and ending again and again."
          />
          <Figure
            {...props}
            name="hysteresis"
            label="Is over when past the threshold by"
            unit="%"
            hint="So that a figure at the threshold does not fire again and again."
          />
        </div>
      </details>
    </>
  )
}

type FigureName = 'percent' | 'days' | 'factor' | 'held' | 'hysteresis'
type FigureProps = Props & { name: FigureName; at?: string; label: string; unit: string; hint?: string }

/** Figure is a number with its unit. */
function Figure({ draft, errors, onChange, name, at = `params.${name}`, label, unit, hint }: FigureProps) {
  return (
    <Field label={label} error={errors[at]} hint={hint}>
      {(wiring) => (
        <NumberInput wiring={wiring} value={draft[name]} unit={unit} onChange={(text) => onChange({ [name]: text })} />
      )}
    </Field>
  )
}

type NumberProps = { wiring: Wiring; value: string; unit: string; onChange: (text: string) => void }

function NumberInput({ wiring, value, unit, onChange }: NumberProps) {
  return (
    <span className="alert-number">
      <input
        {...wiring}
        className="input figure"
        inputMode="decimal"
        autoComplete="off"
        value={value}
        aria-describedby={[wiring['aria-describedby'], `${wiring.id}-unit`].filter(Boolean).join(' ')}
        onChange={(event) => onChange(event.target.value)}
      />
      <span className="soft" id={`${wiring.id}-unit`}>
        {unit}
      </span>
    </span>
  )
}

/** AmountField is an amount in credits, or as a share of what is allocated. */
function AmountField({ draft, errors, onChange, label, percentOf }: Props & { label: string; percentOf: string }) {
  const share = draft.unit === 'percent'
  const at = share ? 'params.percent' : 'params.credits'
  return (
    <div className="alert-amount">
      <Field label={label} error={errors[at]}>
        {(wiring) => (
          <NumberInput
            wiring={wiring}
            value={share ? draft.percent : draft.credits}
            unit={share ? `% ${percentOf}` : 'credits'}
            onChange={(text) => onChange(share ? { percent: text } : { credits: text })}
          />
        )}
      </Field>
      <Segments
        label={`${label}, in`}
        value={draft.unit}
        options={[
          { value: 'percent', text: 'Percent' },
          { value: 'credits', text: 'Credits' },
        ]}
        onChange={(unit) => onChange({ unit })}
      />
    </div>
  )
}

function CampaignField({ draft, errors, campaigns, onChange }: Props) {
  const known = draft.campaign === '' || campaigns.some(({ id }) => id === draft.campaign)
  return (
    <Field label="Of" error={errors['params.campaign_id']}>
      {(wiring) => (
        <select
          {...wiring}
          className="select"
          value={draft.campaign}
          onChange={(event) => onChange({ campaign: event.target.value })}
        >
          <option value="">Each campaign by itself</option>
          {known ? null : <option value={draft.campaign}>{draft.campaign}</option>}
          {campaigns.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

const burnWindows = ['5m', '15m', '30m', '1h', '2h', '3h', '6h', '12h', '1d', '3d', '7d', '14d', '30d']
const spikeWindows = ['15m', '30m', '1h', '2h', '3h', '6h', '12h', '1d']

type WindowProps = { wiring: Wiring; value: string; options: string[]; onChange: (window: string) => void }

function WindowSelect({ wiring, value, options, onChange }: WindowProps) {
  return (
    <select {...wiring} className="select" value={value} onChange={(event) => onChange(event.target.value)}>
      {options.includes(value) ? null : <option value={value}>{windowWords(value)}</option>}
      {options.map((window) => (
        <option key={window} value={window}>
          {windowWords(window)}
        </option>
      ))}
    </select>
  )
}

/** WindowsField are the windows over which credits must go too fast: the usual ones, or one's own. */
function WindowsField({ draft, errors, onChange }: Props) {
  const { windows } = draft
  return (
    <div className="alert-windows">
      <Field
        label="How fast is too fast"
        hint="Credits last if what is left is used evenly until it expires. Both windows have to be above so many times that."
      >
        {(wiring) => (
          <select
            {...wiring}
            className="select"
            value={windows === null ? 'usual' : 'own'}
            onChange={(event) => onChange({ windows: event.target.value === 'own' ? [usualWindow(0)] : null })}
          >
            <option value="usual">As usual, fitted to the time to expiry</option>
            <option value="own">By windows of my own</option>
          </select>
        )}
      </Field>
      {windows?.map((window, i) => {
        const set = (changes: Partial<typeof window>) =>
          onChange({ windows: windows.map((w, j) => (i === j ? { ...w, ...changes } : w)) })
        const at = `params.windows[${i}]`
        return (
          <fieldset className="alert-window" key={window.key}>
            <legend className="label">Windows {i + 1}</legend>
            <Field label="Factor" error={errors[`${at}.factor`]}>
              {(wiring) => (
                <NumberInput wiring={wiring} value={window.factor} unit="times" onChange={(factor) => set({ factor })} />
              )}
            </Field>
            <Field label="Over" error={errors[`${at}.long`]}>
              {(wiring) => (
                <WindowSelect wiring={wiring} value={window.long} options={burnWindows} onChange={(long) => set({ long })} />
              )}
            </Field>
            <Field label="And over the last" error={errors[`${at}.short`]}>
              {(wiring) => (
                <WindowSelect wiring={wiring} value={window.short} options={burnWindows} onChange={(short) => set({ short })} />
              )}
            </Field>
            {windows.length > 1 ? (
              <button
                type="button"
                className="button"
                onClick={() => onChange({ windows: windows.filter((_, j) => i !== j) })}
                aria-label={`Remove windows ${i + 1}`}
              >
                Remove
              </button>
            ) : null}
          </fieldset>
        )
      })}
      {windows && windows.length < maxWindows ? (
        <button type="button" className="button" onClick={() => onChange({ windows: [...windows, usualWindow(windows.length)] })}>
          Add windows
        </button>
      ) : null}
    </div>
  )
}
