import { fromAbsolute, startOfMonth, toCalendarDate } from '@internationalized/date'
import type { Schemas } from '../../../api/client'
import type { Ahead, Data, Mark, Series, Tone } from '../../../parts/chart/model'

type Usage = Schemas['Usage']

/** dataOf makes a chart of an answer. */
export function dataOf(usage: Usage, tones: ReadonlyMap<string, Tone>, names: Names, marks: Mark[], compare: boolean): Data {
  const series = seriesOf(usage, tones, names)
  const points = usage.series[0]?.points ?? usage.other?.points ?? []
  const [from, to] = [Date.parse(usage.from), Date.parse(usage.to)]
  const end = Date.parse(points.at(-1)?.end ?? usage.from)
  const now = end < to ? end : null
  const buckets = points.map((p) => ({ start: Date.parse(p.start), end: Date.parse(p.end), complete: p.complete }))
  const last = buckets.at(-1)
  if (last && now !== null) last.end = wholeEnd(last.start, last.end, usage, to)
  const previous = compare ? usage.previous : null
  return {
    from,
    to,
    now,
    buckets,
    series,
    previous: previous && {
      amounts: previous.points.map((p) => p.credits),
      values: previous.points.map((p) => Number(p.credits)),
    },
    ahead: usage.forecast.map(aheadOf),
    marks: marks.filter((mark) => mark.at >= from && mark.at < to),
    levels: [],
  }
}

/** Names are how series without a name are called. */
export type Names = { unattributed: string; all: string; other: string }

/** otherKey is no id of a campaign and no action. */
export const otherKey = '\u0000other'

/** seriesOf are in the order of tones, which stays while figures move; what is past the top comes last. */
function seriesOf(usage: Usage, tones: ReadonlyMap<string, Tone>, names: Names): Series[] {
  const of = ({ points, total }: Schemas['UsageSeries'], key: string, name: string): Series => ({
    key,
    name,
    tone: tones.get(key) ?? 'other',
    amounts: points.map((p) => p.credits),
    values: points.map((p) => Number(p.credits)),
    total,
  })
  const grouped = usage.group_by !== 'none'
  const series = usage.series.map((s) => of(s, s.key, grouped ? s.name || s.key || names.unattributed : names.all))
  const order = [...tones.keys()]
  series.sort((a, b) => order.indexOf(a.key) - order.indexOf(b.key))
  if (usage.other) series.push(of(usage.other, otherKey, names.other))
  return series
}

/** aheadOf has the part of a bucket in the range of the sum: what is more in doubt by its end than by its start. */
function aheadOf(point: Schemas['ForecastPoint'], at: number, all: Schemas['ForecastPoint'][]): Ahead {
  const before = all[at - 1]
  const value = Number(point.credits)
  return {
    start: Date.parse(point.start),
    end: Date.parse(point.end),
    value,
    low: Math.min(Number(point.p10) - Number(before?.p10 ?? 0), value),
    high: Math.max(Number(point.p90) - Number(before?.p90 ?? 0), value),
    sum: { value: Number(point.p50), low: Number(point.p10), high: Number(point.p90) },
  }
}

const lengths: Partial<Record<Usage['bucket'], number>> = { '1m': 60_000, '15m': 900_000 }

/** wholeEnd is where the bucket under way will end: the API cuts it off at now. */
export function wholeEnd(
  start: number,
  end: number,
  { bucket, tz, forecast }: Pick<Usage, 'bucket' | 'tz' | 'forecast'>,
  to: number,
) {
  const first = forecast[0]
  // The forecast goes on where usage ends, to the same edge.
  if (first && Date.parse(first.start) === end) return Math.max(Date.parse(first.end), end)
  return Math.min(Math.max(edgeAfter(start, bucket, tz), end), to)
}

function edgeAfter(start: number, bucket: Usage['bucket'], zone: string): number {
  const length = lengths[bucket]
  if (length) return (Math.floor(start / length) + 1) * length
  if (bucket === '1h') return start + 3_600_000
  const date = toCalendarDate(fromAbsolute(start, zone))
  const next =
    bucket === '1d' ? date.add({ days: 1 }) : bucket === '1w' ? date.add({ weeks: 1 }) : startOfMonth(date).add({ months: 1 })
  return next.toDate(zone).getTime()
}

const palette: Tone[] = [1, 2, 3, 4, 5, 6, 7]

/** assign gives each series a tone; one that has one keeps it, so that nothing changes colour while figures move. */
export function assign(before: ReadonlyMap<string, Tone>, keys: string[], grouped: boolean): ReadonlyMap<string, Tone> {
  const named = keys.filter((key) => key !== '' || !grouped)
  const after = new Map<string, Tone>()
  for (const [key, tone] of before) if (named.includes(key)) after.set(key, tone)
  for (const key of named) {
    if (after.has(key)) continue
    const used = new Set(after.values())
    after.set(key, palette.find((tone) => !used.has(tone)) ?? 'other')
  }
  if (grouped && keys.includes('')) after.set('', 'none')
  return after
}
