import { type CalendarDate, endOfMonth, fromAbsolute, startOfMonth, toCalendarDate } from '@internationalized/date'
import type { Schemas } from '../../api/client'

/** presets of a range, by what they are called in the address, in the order in which they are offered. */
export const presets = {
  cycle: 'This cycle',
  last_cycle: 'Last cycle',
  last_24_hours: 'Last 24 hours',
  today: 'Today',
  last_7_days: 'Last 7 days',
  last_30_days: 'Last 30 days',
  last_90_days: 'Last 90 days',
  this_month: 'This month',
  last_month: 'Last month',
  last_12_months: 'Last 12 months',
} as const

export type Preset = keyof typeof presets

/** Instants are [from, to) in RFC 3339; without them the API takes the current period. */
export type Instants = { from?: string; to?: string }

/** isPreset tells whether the address names one. */
export const isPreset = (name: string | null): name is Preset => name !== null && Object.hasOwn(presets, name)

const quarter = 900_000
const dayLength = 86_400_000

/**
 * instantsOf a preset. Days are those of the zone, today whole; the last 24 hours end with the quarter of an hour
 * that is under way, since finer edges would ask for another range with every look. Until the balance is known,
 * the last cycle is null.
 */
export function instantsOf(preset: Preset, zone: string, now: number, balance: Cycles | undefined): Instants | null {
  const today = toCalendarDate(fromAbsolute(now, zone))
  const days = (first: CalendarDate, last: CalendarDate) => ({ from: begin(first, zone), to: begin(last.add({ days: 1 }), zone) })
  const month = startOfMonth(today)
  switch (preset) {
    case 'cycle':
      return {}
    case 'last_cycle':
      return balance ? lastCycle(balance) : null
    case 'last_24_hours': {
      const end = Math.ceil(now / quarter) * quarter
      return { from: new Date(end - dayLength).toISOString(), to: new Date(end).toISOString() }
    }
    case 'today':
      return days(today, today)
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

/** begin is when a local day begins. */
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
