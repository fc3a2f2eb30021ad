import { fromAbsolute, toCalendarDate } from '@internationalized/date'

/** RangeChoice is what the range is called: the current cycle, so many days up to now, or one from elsewhere. */
export type RangeChoice = 'cycle' | '7' | '30' | '90' | 'other'

/** rangeOf is the range of the address; without a whole one the API takes the current period. */
export function rangeOf(query: URLSearchParams): { from?: string; to?: string } {
  const [from, to] = [query.get('from'), query.get('to')]
  return isInstant(from) && isInstant(to) ? { from, to } : {}
}

const isInstant = (text: string | null): text is string =>
  text !== null && /^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/.test(text) && !Number.isNaN(Date.parse(text))

/** lastDays are so many local days up to the end of this one. */
export function lastDays(days: '7' | '30' | '90', zone: string, now: number): { from: string; to: string } {
  const end = toCalendarDate(fromAbsolute(now, zone)).add({ days: 1 })
  return {
    from: end
      .subtract({ days: Number(days) })
      .toDate(zone)
      .toISOString(),
    to: end.toDate(zone).toISOString(),
  }
}

/** choiceOf names the range of the address. */
export function choiceOf(query: URLSearchParams, zone: string, now: number): RangeChoice {
  const { from, to } = rangeOf(query)
  if (!from || !to) return 'cycle'
  const same = (days: '7' | '30' | '90') => {
    const range = lastDays(days, zone, now)
    return Date.parse(range.from) === Date.parse(from) && Date.parse(range.to) === Date.parse(to)
  }
  return (['7', '30', '90'] as const).find(same) ?? 'other'
}
