import { fromAbsolute, toCalendarDate } from '@internationalized/date'

/** steps are the distances between ticks, in days. */
const steps = [1, 2, 3, 7, 14, 28, 56, 91, 182, 364]

/** dayTicks are local midnights in [from, to], in milliseconds, so many at the most and evenly apart. */
export function dayTicks(from: number, to: number, zone: string, most: number): number[] {
  const days = (to - from) / 86_400_000
  const step = steps.find((s) => days / s <= most) ?? Math.ceil(days / Math.max(most, 1))
  const ticks: number[] = []
  let day = toCalendarDate(fromAbsolute(from, zone))
  for (let at = day.toDate(zone).getTime(); at <= to; at = day.toDate(zone).getTime()) {
    if (at >= from) {
      ticks.push(at)
      day = day.add({ days: step })
    } else day = day.add({ days: 1 })
  }
  return ticks
}

/** nearest is the index of the instant of a sorted list that is nearest; -1: the list is empty. */
export function nearest(sorted: number[], at: number): number {
  let low = 0
  let high = sorted.length - 1
  if (high < 0) return -1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) <= at) low = middle
    else high = middle
  }
  return at - (sorted[low] ?? 0) <= (sorted[high] ?? 0) - at ? low : high
}

/** Point is a value at an instant, with the range in which eight of ten futures are. */
export type Point = { at: number; value: number; low?: number | undefined; high?: number | undefined }

/** valueAt is what a line is at an instant, between its points on a straight way; null: outside of it. */
export function valueAt(points: Point[], at: number): number | null {
  const next = points.findIndex((point) => point.at >= at)
  const after = points[next]
  if (!after) return null
  if (after.at === at) return after.value
  const before = points[next - 1]
  if (!before) return null
  return before.value + ((after.value - before.value) * (at - before.at)) / (after.at - before.at)
}
