import { fromAbsolute, parseDate, toCalendarDate } from '@internationalized/date'
import { begin, type Instants, instantsOf, isPreset, type Of, type Preset, usualPreset } from './presets'

/** Chosen is the range that the address names; preset null: days or instants of somebody's choice. */
export type Chosen = {
  preset: Preset | null
  /** null: not known yet. */
  range: Instants | null
  /** Parameters that make no sense, so that the default stands instead. */
  ignored: string[]
}

/**
 * chosenRange reads `from` and `to`, or `preset`. Both are instants, or local days of which the last is in the
 * range. Two ends are more than a preset, which is more than one end.
 */
export function chosenRange(query: URLSearchParams, of: Of): Chosen {
  const named = query.get('preset')
  const texts = { from: query.get('from'), to: query.get('to') }
  const edges = { from: instantOf(texts.from, 0, of.zone), to: instantOf(texts.to, 1, of.zone) }
  const { from, to } = edges
  const at = (preset: Preset, ignored: string[]): Chosen => ({ preset, range: instantsOf(preset, of), ignored })
  const usual = usualPreset(of.looks)
  if (from !== null && to !== null) {
    const backwards = Date.parse(from) >= Date.parse(to)
    // A log says so beside its two fields; usage has a calendar, in which there is no such range.
    return backwards && of.looks === 'usage' ? at(usual, ['from', 'to']) : { preset: null, range: { from, to }, ignored: [] }
  }
  const open = of.looks === 'log'
  const wrong = (['from', 'to'] as const).filter(
    (edge) => edges[edge] === null && (open ? texts[edge] !== null : texts.from !== null || texts.to !== null),
  )
  if (isPreset(named, of.looks)) return at(named, wrong)
  if (open && (from !== null || to !== null)) {
    return { preset: null, range: { ...(from ? { from } : {}), ...(to ? { to } : {}) }, ignored: wrong }
  }
  return at(usual, wrong.length > 0 ? wrong : named === null ? [] : ['preset'])
}

/** inReach are the years in which there can be events (DESIGN section 3). */
const inReach = (year: number) => year >= 2000 && year < 2100

const looksLikeDay = (text: string) => /^\d{4}-\d{2}-\d{2}$/.test(text)

/** isSensibleDay tells of a day that there is and in which there can be entries. */
export function isSensibleDay(text: string): boolean {
  try {
    return looksLikeDay(text) && inReach(parseDate(text).year)
  } catch {
    return false // the 30th of February
  }
}

/** instantOf reads an instant or a local day; what has no zone would mean another instant in another place. */
function instantOf(text: string | null, addDays: number, zone: string): string | null {
  if (text === null) return null
  if (looksLikeDay(text)) return isSensibleDay(text) ? begin(parseDate(text).add({ days: addDays }), zone) : null
  if (!/^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/i.test(text)) return null
  const at = new Date(text)
  return inReach(at.getUTCFullYear()) ? at.toISOString() : null
}

/** fieldsOf are the days that two fields show for a range. */
export function fieldsOf({ from, to }: Instants, zone: string): { from: string; to: string } {
  const dayAt = (at: number) => toCalendarDate(fromAbsolute(at, zone)).toString()
  return {
    from: from ? dayAt(Date.parse(from)) : '',
    // The end of a range is the first instant after it.
    to: to ? dayAt(Date.parse(to) - 1) : '',
  }
}

/** backwards tells of a range that ends before it begins. */
export const backwards = ({ from, to }: Instants) => from !== undefined && to !== undefined && Date.parse(from) >= Date.parse(to)
