import { CalendarDate, CalendarDateTime, fromAbsolute, toCalendarDate } from '@internationalized/date'
import { clock, day, dayShort, month } from '../../format'

/** Tick is an instant on the axis of time and how it is written. */
export type Tick = { at: number; text: string }

const minute = 60_000
const hour = 60 * minute
const dayLength = 24 * hour

type Unit = { of: 'minute' | 'day' | 'month'; step: number; length: number }

const unit = (of: Unit['of'], step: number, length: number): Unit => ({ of, step, length: step * length })

/** coarsest is for whatever is longer. */
const coarsest = unit('month', 600, 30.4 * dayLength)

/** units are the distances between ticks, the finest first: what a clock or a calendar counts in. */
const units: Unit[] = [
  ...[1, 2, 5, 10, 15, 30].map((step) => unit('minute', step, minute)),
  ...[1, 2, 3, 6, 12].map((step) => ({ of: 'minute' as const, step: step * 60, length: step * hour })),
  ...[1, 2, 7, 14].map((step) => unit('day', step, dayLength)),
  ...[1, 2, 3, 6, 12, 24, 60, 120].map((step) => unit('month', step, 30.4 * dayLength)),
]

/**
 * timeTicks are local minutes, hours, days, weeks or months in [from, to], at most about so many. Weeks begin on
 * weekStart (0: Sunday). A local day begins where it does, however long it is; an hour that a change of the
 * clock skips has no tick, one that it repeats has one.
 */
export function timeTicks(from: number, to: number, zone: string, most: number, weekStart = 1): Tick[] {
  const { of, step } = units.find(({ length }) => (to - from) / length <= most) ?? coarsest
  const at =
    of === 'minute'
      ? minutes(from, to, zone, step)
      : of === 'day'
        ? days(from, to, zone, step, weekStart)
        : months(from, to, zone, step)
  const long = to - from > 300 * dayLength
  return at.map((tick) => ({ at: tick, text: textOf(tick, of, zone, long) }))
}

function textOf(at: number, of: Unit['of'], zone: string, long: boolean): string {
  if (of === 'month') return month(at, zone)
  if (of === 'day') return long ? day(at, zone) : dayShort(at, zone)
  const local = fromAbsolute(at, zone)
  // Where a day begins, its date says more than 00:00.
  return local.hour === 0 && local.minute === 0 ? dayShort(at, zone) : clock(at, zone)
}

function minutes(from: number, to: number, zone: string, step: number): number[] {
  const ticks: number[] = []
  const last = toCalendarDate(fromAbsolute(to, zone))
  for (let date = toCalendarDate(fromAbsolute(from, zone)); date.compare(last) <= 0; date = date.add({ days: 1 })) {
    for (let m = 0; m < 24 * 60; m += step) {
      const local = new CalendarDateTime(date.year, date.month, date.day, Math.floor(m / 60), m % 60)
      const at = local.toDate(zone, 'earlier').getTime()
      const exists = toLocal(at, zone) === m
      if (exists && at >= from && at <= to) ticks.push(at)
    }
  }
  return ticks
}

function toLocal(at: number, zone: string): number {
  const local = fromAbsolute(at, zone)
  return local.hour * 60 + local.minute
}

function days(from: number, to: number, zone: string, step: number, weekStart: number): number[] {
  const ticks: number[] = []
  for (let date = toCalendarDate(fromAbsolute(from, zone)); ; date = date.add({ days: 1 })) {
    const at = date.toDate(zone).getTime()
    if (at > to) return ticks
    if (at >= from && onStep(date, step, weekStart)) ticks.push(at)
  }
}

/** onStep holds days to the calendar, so that ticks stand still while the range moves. */
function onStep(date: CalendarDate, step: number, weekStart: number): boolean {
  // 1970-01-01 was a Thursday.
  const since = Math.round(date.toDate('UTC').getTime() / dayLength) + 4 - weekStart
  return ((since % step) + step) % step === 0
}

function months(from: number, to: number, zone: string, step: number): number[] {
  const ticks: number[] = []
  const start = toCalendarDate(fromAbsolute(from, zone))
  for (let date = new CalendarDate(start.year, start.month, 1); ; date = date.add({ months: 1 })) {
    const at = date.toDate(zone).getTime()
    if (at > to) return ticks
    if (at >= from && (date.year * 12 + date.month - 1) % step === 0) ticks.push(at)
  }
}
