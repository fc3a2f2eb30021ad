import { lazy, Suspense } from 'react'
import { Skeleton } from '../states'
import type { Change } from './fields'
import { isPreset, offered, usualPreset } from './presets'
import type { Followed } from './usechosen'

// The calendar comes beside the figures: what is chosen with is not waited for by what is read.
const DateRange = lazy(() => import('./daterange'))

type Props = {
  chosen: Followed
  zone: string
  weekStart: string
  /** Is the range not to be had for now? Then nothing holds its place as if it came. */
  failed?: boolean
  onChange: Change
}

/** RangeTools choose the range of usage: a preset, or days of a calendar. */
export function RangeTools({ chosen: { preset, whole }, zone, weekStart, failed = false, onChange }: Props) {
  return (
    <>
      <select
        className="select"
        aria-label="Range"
        value={preset ?? ''}
        onChange={({ target: { value } }) => {
          if (isPreset(value, 'usage'))
            onChange({ preset: value === usualPreset('usage') ? null : value, from: null, to: null }, true)
        }}
      >
        {preset === null ? <option value="">Chosen range</option> : null}
        {offered('usage').map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
      <Suspense fallback={<Skeleton width="16.5rem" height="var(--control)" />}>
        {whole ? (
          <DateRange
            from={whole.from}
            to={whole.to}
            zone={zone}
            weekStart={weekStart}
            onChange={(from, to) => onChange({ preset: null, from, to }, true)}
          />
        ) : failed ? null : (
          <Skeleton width="16.5rem" height="var(--control)" />
        )}
      </Suspense>
    </>
  )
}
