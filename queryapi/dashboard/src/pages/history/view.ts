import {
  type CalendarDate,
  endOfMonth,
  fromAbsolute,
  parseDate,
  startOfMonth,
  startOfWeek,
  toCalendarDate,
  toZoned,
} from '@internationalized/date'
import type { Schemas } from '../../api/client'
import type { HistoryQuery } from '../../api/queries'

/** EntryType is the kind of an entry of the history. */
export type EntryType = Schemas['HistoryItem']['type']

/** entryTypes in the order in which they are offered. */
export const entryTypes: EntryType[] = ['consumption', 'grant', 'adjustment', 'expiry', 'void']

/** noCampaign stands in the address for unattributed consumption; no id of a campaign may have this character. */
export const noCampaign = '~'

/** Presets of the range, by what they are called in the address. */
export const presets = {
  all: 'All time',
  today: 'Today',
  yesterday: 'Yesterday',
  last_7_days: 'Last 7 days',
  this_week: 'This week',
  last_week: 'Last week',
  this_month: 'This month',
  last_month: 'Last month',
} as const

export type Preset = keyof typeof presets

/** View is what the address says is looked at. */
export type View = {
  view: 'grouped' | 'events'
  /** Empty: all. */
  types: EntryType[]
  /** null: all; '': unattributed. */
  campaign: string | null
  /** null: from and to hold. */
  preset: Preset | null
  /** A local day, or an instant; null: open. */
  from: string | null
  /** A local day, which is in the range, or an instant, which is not; null: open. */
  to: string | null
}

/** viewOf reads the address; what makes no sense in it is as if it were not there. */
export function viewOf(query: URLSearchParams): View {
  const types = (query.get('type') ?? '').split(',')
  const campaign = query.get('campaign')
  const named = query.get('preset')
  const from = sensible(query.get('from'))
  const to = sensible(query.get('to'))
  const preset = named !== null && Object.hasOwn(presets, named) ? (named as Preset) : null
  return {
    view: query.get('view') === 'events' ? 'events' : 'grouped',
    types: entryTypes.filter((type) => types.includes(type)),
    campaign: campaign === noCampaign ? '' : campaign || null,
    preset: preset ?? (from === null && to === null ? 'all' : null),
    from: preset ? null : from,
    to: preset ? null : to,
  }
}

const isDay = (text: string) => /^\d{4}-\d{2}-\d{2}$/.test(text)

/** inReach are the years in which there can be entries (DESIGN section 3). */
const inReach = (year: number) => year >= 2000 && year < 2100

/** isSensibleDay tells of a day that there is and in which there can be entries. */
export function isSensibleDay(text: string): boolean {
  try {
    return isDay(text) && inReach(parseDate(text).year)
  } catch {
    return false // the 30th of February
  }
}

function sensible(text: string | null): string | null {
  if (text === null || isSensibleDay(text)) return text
  // What has no zone would mean another instant in another place.
  if (!/^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/i.test(text)) return null
  return inReach(new Date(text).getUTCFullYear()) ? text : null
}

/** Range is [from, to) in RFC 3339; undefined: open. */
export type Range = { from: string | undefined; to: string | undefined }

const begin = (date: CalendarDate, zone: string) => toZoned(date, zone).toDate().toISOString()

const weekdays = {
  sunday: 'sun',
  monday: 'mon',
  tuesday: 'tue',
  wednesday: 'wed',
  thursday: 'thu',
  friday: 'fri',
  saturday: 'sat',
} as const

/** daysOf are the first and the last local day of a preset; null: open. */
export function daysOf(preset: Preset, zone: string, weekStart: string, now: number): [CalendarDate | null, CalendarDate | null] {
  const today = toCalendarDate(fromAbsolute(now, zone))
  const week = startOfWeek(today, 'en', weekdays[weekStart as keyof typeof weekdays] ?? 'mon')
  const month = startOfMonth(today)
  const lastMonth = month.subtract({ months: 1 })
  switch (preset) {
    case 'all':
      return [null, null]
    case 'today':
      return [today, null]
    case 'yesterday':
      return [today.subtract({ days: 1 }), today.subtract({ days: 1 })]
    case 'last_7_days':
      return [today.subtract({ days: 6 }), null]
    case 'this_week':
      return [week, null]
    case 'last_week':
      return [week.subtract({ weeks: 1 }), week.subtract({ days: 1 })]
    case 'this_month':
      return [month, null]
    case 'last_month':
      return [lastMonth, endOfMonth(lastMonth)]
  }
}

/** rangeOf is what a view looks at: whole days of the zone, or the instants that the address names. */
export function rangeOf(view: View, zone: string, weekStart: string, now: number): Range {
  if (view.preset !== null) {
    const [first, last] = daysOf(view.preset, zone, weekStart, now)
    return {
      from: first ? begin(first, zone) : undefined,
      to: last ? begin(last.add({ days: 1 }), zone) : undefined,
    }
  }
  const edge = (text: string | null, days: number) => {
    if (text === null) return undefined
    return isDay(text) ? begin(parseDate(text).add({ days }), zone) : new Date(text).toISOString()
  }
  return { from: edge(view.from, 0), to: edge(view.to, 1) }
}

/** fieldsOf are the days that the two fields show for a range. */
export function fieldsOf(range: Range, zone: string): { from: string; to: string } {
  const dayAt = (at: number) => toCalendarDate(fromAbsolute(at, zone)).toString()
  return {
    from: range.from ? dayAt(Date.parse(range.from)) : '',
    // The end of a range is the first instant after it.
    to: range.to ? dayAt(Date.parse(range.to) - 1) : '',
  }
}

/** backwards tells of a range that ends before it begins. */
export const backwards = (range: Range) =>
  range.from !== undefined && range.to !== undefined && Date.parse(range.from) >= Date.parse(range.to)

/** questionOf is what the API is asked for a view. */
export function questionOf(view: View, range: Range, zone: string): HistoryQuery {
  return {
    view: view.view,
    tz: zone,
    ...(range.from ? { from: range.from } : {}),
    ...(range.to ? { to: range.to } : {}),
    ...(view.types.length > 0 && view.types.length < entryTypes.length ? { type: view.types } : {}),
    ...(view.campaign !== null ? { campaign_id: view.campaign } : {}),
  }
}
