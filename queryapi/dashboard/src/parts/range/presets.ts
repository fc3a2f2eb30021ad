import { type CalendarDate, endOfMonth, fromAbsolute, startOfMonth, startOfWeek, toCalendarDate } from '@internationalized/date'
import type { Schemas } from '../../api/client'
import { weekdayShort } from './week'

/** presets of a range, by what they are called in the address, in the order in which they are offered. */
export const presets = {
  all: 'All time',
  cycle: 'This cycle',
  last_cycle: 'Last cycle',
  last_24_hours: 'Last 24 hours',
  today: 'Today',
  yesterday: 'Yesterday',
  this_week: 'This week',
  last_week: 'Last week',
  last_7_days: 'Last 7 days',
  last_30_days: 'Last 30 days',
  last_90_days: 'Last 90 days',
  this_month: 'This month',
  last_month: 'Last month',
  last_12_months: 'Last 12 months',
} as const

export type Preset = keyof typeof presets

/** Instants are [from, to) in RFC 3339; what is not there is open. */
export type Instants = { from?: string; to?: string }

/**
 * Looks is what a screen does with a range. `usage` takes one with two ends, and the current cycle where nothing is
 * said; `log` takes an open one as well, and all there is where nothing is said.
 */
export type Looks = 'usage' | 'log'

/** usualPreset is what a screen looks at where the address says nothing. */
export const usualPreset = (looks: Looks): Preset => (looks === 'usage' ? 'cycle' : 'all')

/** offered are the presets of a screen: usage over all time has no buckets. */
export const offered = (looks: Looks): [Preset, string][] =>
  (Object.entries(presets) as [Preset, string][]).filter(([preset]) => isPreset(preset, looks))

/** isPreset tells whether the address names one that a screen can show. */
export const isPreset = (name: string | null, looks: Looks): name is Preset =>
  name !== null && Object.hasOwn(presets, name) && (name !== 'all' || looks === 'log')

const quarter = 900_000
const dayLength = 86_400_000

/** Of is what a preset depends on: the zone of days, the time by the server, the weekday on which weeks begin. */
export type Of = { zone: string; now: number; weekStart: string; looks: Looks; balance: Cycles | undefined }

/**
 * instantsOf a preset. Days are those of the zone, today whole; the last 24 hours end with the quarter of an hour
 * that is under way, since finer edges would ask for another range with every look. Cycles are null until the balance
 * is known, but for the current one of usage, which the API takes by itself.
 */
export function instantsOf(preset: Preset, { zone, now, weekStart, looks, balance }: Of): Instants | null {
  const today = toCalendarDate(fromAbsolute(now, zone))
  const days = (first: CalendarDate, last: CalendarDate) => ({ from: begin(first, zone), to: begin(last.add({ days: 1 }), zone) })
  const week = startOfWeek(today, 'en', weekdayShort(weekStart))
  const month = startOfMonth(today)
  switch (preset) {
    case 'all':
      return {}
    case 'cycle':
      return looks === 'usage' ? {} : (balance?.period ?? null)
    case 'last_cycle':
      return balance ? lastCycle(balance) : null
    case 'last_24_hours': {
      const end = Math.ceil(now / quarter) * quarter
      return { from: new Date(end - dayLength).toISOString(), to: new Date(end).toISOString() }
    }
    case 'today':
      return days(today, today)
    case 'yesterday':
      return days(today.subtract({ days: 1 }), today.subtract({ days: 1 }))
    case 'this_week':
      return days(week, week.add({ days: 6 }))
    case 'last_week':
      return days(week.subtract({ weeks: 1 }), week.subtract({ days: 1 }))
    case 'last_7_days':
      return days(today.subtract({ days: 6 }), today)
    case 'last_30_days':
      return days(today.subtract({ days: 29 }), today)
    case 'last_90_days':
      return days(today.subtract({ days: 89 }), today)
    case 'this_month':
      return days(month, endOfMonth(month))
    case 'last_month':
      return days(month.subtract({ months: 1 }), month.subtract({ days: 1 }))
    case 'last_12_months':
      return days(month.subtract({ months: 11 }), endOfMonth(month))
  }
}

/** begin is when a local day begins, which is not midnight everywhere. */
export const begin = (date: CalendarDate, zone: string) => date.toDate(zone).toISOString()

/** Cycles is what tells of cycles: the current one, and the grants that made others. */
export type Cycles = Pick<Schemas['Balance'], 'period'> & {
  grants: Pick<Schemas['BalanceGrant'], 'class' | 'effective_at' | 'expires_at' | 'status'>[]
}

/**
 * lastCycle is the paid grant that ended where this cycle begins; else the month before where cycles are months
 * of UTC, else as long a time before.
 */
export function lastCycle({ period, grants }: Cycles): Required<Instants> {
  const begins = Date.parse(period.from)
  const before = grants.find(
    (g) => g.class === 'paid' && g.status !== 'voided' && g.expires_at !== null && Date.parse(g.expires_at) === begins,
  )
  if (before) return { from: before.effective_at, to: period.from }
  const start = new Date(begins)
  const nextMonth = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1)
  const isMonth = start.getUTCDate() === 1 && begins % dayLength === 0 && nextMonth === Date.parse(period.to)
  const from = isMonth ? Date.UTC(start.getUTCFullYear(), start.getUTCMonth() - 1, 1) : begins - (Date.parse(period.to) - begins)
  return { from: new Date(from).toISOString(), to: period.from }
}
