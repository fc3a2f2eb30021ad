import { parseDate } from '@internationalized/date'
import { begin, type Cycles, type Instants, instantsOf, isPreset, type Preset } from './presets'

/** Chosen is the range that the address names; preset null: instants of somebody's choice. */
export type Chosen = {
  preset: Preset | null
  /** null: not known yet. */
  range: Instants | null
  /** Parameters that make no sense, so that the default stands instead. */
  ignored: string[]
}

/**
 * chosenRange reads `from` and `to`, or `preset`. Both are instants, or local days of which the last is in the
 * range. The API says what the current cycle is.
 */
export function chosenRange(query: URLSearchParams, zone: string, now: number, balance: Cycles | undefined): Chosen {
  const [from, to, named] = [query.get('from'), query.get('to'), query.get('preset')]
  const of = (preset: Preset, ignored: string[]): Chosen => ({
    preset,
    range: instantsOf(preset, zone, now, balance),
    ignored,
  })
  if (from === null && to === null) {
    return isPreset(named) ? of(named, []) : of('cycle', named === null ? [] : ['preset'])
  }
  const range = { from: instantOf(from, 0, zone), to: instantOf(to, 1, zone) }
  const wrong = (['from', 'to'] as const).filter((edge) => range[edge] === null)
  if (range.from === null || range.to === null) return of(isPreset(named) ? named : 'cycle', wrong)
  if (Date.parse(range.from) >= Date.parse(range.to)) return of('cycle', ['from', 'to'])
  return { preset: null, range: { from: range.from, to: range.to }, ignored: [] }
}

/** instantOf reads an instant or a local day; what has no zone would mean another instant in another place. */
function instantOf(text: string | null, addDays: number, zone: string): string | null {
  if (text === null) return null
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) {
    try {
      return begin(parseDate(text).add({ days: addDays }), zone)
    } catch {
      return null
    }
  }
  if (!/^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/i.test(text)) return null
  const at = Date.parse(text)
  // What the API takes as the time of an event (DESIGN section 3).
  return at >= Date.UTC(2000, 0) && at < Date.UTC(2100, 0) ? new Date(at).toISOString() : null
}
