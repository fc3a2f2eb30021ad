import { scaleLinear } from 'd3-scale'
import type { Data, Level, Tone, View } from './model'
import { band, bars, course, steps } from './paths'
import { least, most, running, stack } from './stack'

/** Size of the drawing and the room that the axes take, in pixels. */
export type Size = { width: number; height: number }
export const room = { top: 14, right: 10, bottom: 26, left: 48 }

/** Drawing is everything of a chart that does not follow the pointer. */
export type Drawing = {
  x: { (value: number): number; invert: (value: number) => number }
  y: { (value: number): number; ticks: (count: number) => number[] }
  layers: { key: string; tone: Tone; fill: string; edge: string }[]
  /** Drawn over bars that may still grow. */
  partial: string
  previous: string
  ahead: { line: string; band: string } | null
  levels: Level[]
}

/** drawingOf puts the shown series on each other. What is told of all series is drawn only while all are shown. */
export function drawingOf(data: Data, view: View, hidden: ReadonlySet<string>, { width, height }: Size): Drawing {
  const shown = data.series.filter((one) => !hidden.has(one.key))
  const whole = shown.length === data.series.length
  const values = shown.map((one) => (view === 'bars' ? one.values : running(one.values)))
  const { layers, low, high } = stack(values)
  const previous = whole && data.previous ? (view === 'bars' ? data.previous.values : running(data.previous.values)) : []
  const ahead = whole ? aheadOf(data, view) : []
  const top = Math.max(high, most(previous), most(ahead.map((a) => a.high)))
  const levels = whole && view === 'cumulative' ? levelsWithin(data.levels, top) : []
  const x = scaleLinear([data.from, data.to], [room.left, width - room.right])
  const y = scaleLinear(
    [Math.min(low, least(previous), least(ahead.map((a) => a.low))), Math.max(top, most(levels.map((l) => l.value))) || 1],
    [height - room.bottom, room.top],
  ).nice(4)
  const spans = data.buckets
  const open = (i: number) => spans[i]?.complete === false
  const ends = spans.map((span) => (data.now === null ? span.end : Math.min(span.end, data.now)))
  const begin = { at: data.from, value: 0, low: 0, high: 0 }
  return {
    x,
    y,
    layers: shown.map((one, i) => {
      const layer = layers[i] ?? { from: [], to: [] }
      if (view === 'bars') return { key: one.key, tone: one.tone, fill: bars(spans, layer, x, y), edge: '' }
      const reach = layer.to.map((to, j) => ({ at: ends[j] ?? 0, value: to, low: layer.from[j] ?? 0, high: to }))
      return { key: one.key, tone: one.tone, fill: band([begin, ...reach], x, y), edge: course([begin, ...reach], x, y) }
    }),
    partial: view === 'bars' ? layers.map((layer) => bars(spans, layer, x, y, open)).join('') : '',
    previous:
      previous.length === 0
        ? ''
        : view === 'bars'
          ? steps(spans.slice(0, previous.length), previous, x, y)
          : course([begin, ...previous.map((value, i) => ({ at: spans[i]?.end ?? data.to, value }))], x, y),
    ahead: ahead.length === 0 ? null : aheadPaths(ahead, view, x, y),
    levels,
  }
}

type Expected = { start: number; end: number; value: number; low: number; high: number }

/** usedIn is what all series used in a bucket. */
const usedIn = (series: Data['series'], at: number) => series.reduce((sum, one) => sum + (one.values[at] ?? 0), 0)

/** aheadOf stands on what has been used: in the bucket that is under way, or in all up to now. */
function aheadOf({ buckets, series, ahead }: Data, view: View): Expected[] {
  const last = buckets.at(-1)
  if (view === 'bars') {
    return ahead.map(({ start, end, value, low, high }, i) => {
      const under = i === 0 && last && start < last.end
      const base = under ? usedIn(series, buckets.length - 1) : 0
      return { start: under ? last.start : start, end, value: base + value, low: base + low, high: base + high }
    })
  }
  const [first] = ahead
  if (!first) return []
  const used = buckets.reduce((sum, _, i) => sum + usedIn(series, i), 0)
  // The course begins where usage ends, with nothing in doubt.
  const begin = { start: first.start, end: first.start, value: used, low: used, high: used }
  const rest = ahead.map(({ start, end, sum }) => ({
    start,
    end,
    value: used + sum.value,
    low: used + sum.low,
    high: used + sum.high,
  }))
  return [begin, ...rest]
}

function aheadPaths(ahead: Expected[], view: View, x: Drawing['x'], y: Drawing['y']): { line: string; band: string } {
  if (view === 'bars') {
    const layer = { from: ahead.map((a) => a.low), to: ahead.map((a) => a.high) }
    const values = ahead.map((a) => a.value)
    return { line: steps(ahead, values, x, y), band: bars(ahead, layer, x, y) }
  }
  const points = ahead.map(({ end, value, low, high }) => ({ at: end, value, low, high }))
  return { line: course(points, x, y), band: band(points, x, y) }
}

/** levelsWithin are those that the course passes, and the next one if it is near. */
export function levelsWithin(levels: Level[], top: number): Level[] {
  const sorted = levels.toSorted((a, b) => a.value - b.value)
  const next = sorted.find((level) => level.value > top)
  return sorted.filter((level) => level.value <= top || (level === next && level.value <= top * 1.35))
}
