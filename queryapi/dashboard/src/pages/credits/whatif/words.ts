import type { Schemas } from '../../../api/client'
import { day, duration } from '../../../format'

export type Outlook = Schemas['Outlook']
type Runway = Schemas['Runway']

/** endOf says in a few words when credits run out. */
export function endOf({ exhausts_at, reason, method }: Runway, zone: string): string {
  if (exhausts_at !== null) return day(exhausts_at, zone)
  switch (reason) {
    case 'exhausted':
      return 'Nothing is left'
    case 'no_consumption':
      return 'Nothing is used'
    case 'beyond_5_years':
      return 'Not within five years'
    default:
      return method === 'insufficient_data' ? 'Not known yet' : 'Not at this rate'
  }
}

/** bandOf says between which days eight of ten futures run out; null: nobody knows. */
export function bandOf({ exhausts_at, p10, p90 }: Runway, zone: string): string | null {
  if (p10 === null) return null
  const early = day(p10, zone)
  if (exhausts_at === null) return `${early} at the earliest`
  if (p90 === null) return `${early} at the earliest, or not at all`
  const late = day(p90, zone)
  return early === late ? null : `${early} to ${late}`
}

/** differenceOf says in a sentence what a what-if changes about the end. */
export function differenceOf({ runway, baseline }: Pick<Outlook, 'runway' | 'baseline'>, zone: string): string {
  const [changed, now] = [runway.exhausts_at, baseline.exhausts_at]
  if (changed === null && now === null) {
    return runway.reason === baseline.reason
      ? 'This changes nothing about when the credits run out.'
      : `With this: ${endOf(runway, zone).toLowerCase()}. As things are: ${endOf(baseline, zone).toLowerCase()}.`
  }
  if (changed === null) {
    if (runway.reason === 'exhausted') return 'With this nothing is left from the start.'
    if (runway.reason === 'no_consumption') return 'With this nothing is used, so the credits do not run out.'
    return runway.method === 'insufficient_data'
      ? 'Too little is known to say when the credits would run out.'
      : 'With this the credits no longer run out.'
  }
  if (now === null) {
    const plain = baseline.reason === 'exhausted' ? 'nothing is left' : 'they do not'
    return `With this the credits run out on ${day(changed, zone)}. As things are, ${plain}.`
  }
  const seconds = (Date.parse(changed) - Date.parse(now)) / 1000
  // A forecast is no better than that.
  if (Math.abs(seconds) < 3600) return `The credits run out on ${day(changed, zone)} all the same.`
  return `With this the credits run out on ${day(changed, zone)}, ${duration(Math.abs(seconds))} ${seconds > 0 ? 'later' : 'sooner'}.`
}

/** Unused is what expires at an instant, as things are and under the what-if. */
export type Unused = { at: string; now: string | null; changed: string | null }

/** unusedOf sets side by side what expires, soonest first. */
export function unusedOf(now: Outlook['unused'], changed: Outlook['unused']): Unused[] {
  const byInstant = new Map<string, Unused>()
  for (const { at, p50 } of now) byInstant.set(at, { at, now: p50, changed: null })
  for (const { at, p50 } of changed) byInstant.set(at, { at, now: byInstant.get(at)?.now ?? null, changed: p50 })
  return [...byInstant.values()].sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
}
