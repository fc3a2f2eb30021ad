import { describe, expect, it } from 'vitest'
import { drawingOf, levelsWithin } from './drawing'
import { type Data, stopAt, stopsOf } from './model'
import { step } from './step'

const hour = 3_600_000
const data = (values: number[][], more: Partial<Data> = {}): Data => ({
  from: 0,
  to: 4 * hour,
  now: null,
  buckets: (values[0] ?? []).map((_, i) => ({ start: i * hour, end: (i + 1) * hour, complete: true })),
  series: values.map((of, i) => ({
    key: `k${i}`,
    name: `K${i}`,
    tone: 1,
    amounts: of.map(String),
    values: of,
    total: String(of.reduce((a, b) => a + b, 0)),
  })),
  previous: null,
  ahead: [],
  marks: [],
  levels: [],
  ...more,
})
const size = { width: 458, height: 240 }
const nothing = new Set<string>()
const expected = (start: number, value: number, sum: number) => ({
  start: start * hour,
  end: (start + 1) * hour,
  value,
  low: value / 2,
  high: value * 2,
  sum: { value: sum, low: sum / 2, high: sum * 2 },
})

describe('the drawing', () => {
  it('has one path for each series and a bar for each bucket that is not zero', () => {
    const { layers } = drawingOf(
      data([
        [1, 0, 2, 3],
        [4, 5, 6, 7],
      ]),
      'bars',
      nothing,
      size,
    )
    expect(layers.map((layer) => layer.fill.split('M').length - 1)).toEqual([3, 4])
  })
  it('has room for what is shown, expected and compared, and zero', () => {
    const reach = (more: Partial<Data>, hidden = nothing) => drawingOf(data([[1, 2, -3, 4]], more), 'bars', hidden, size).y
    const inside = (y: (v: number) => number, value: number) => y(value) >= 0 && y(value) <= size.height
    expect(inside(reach({}), -3)).toBe(true)
    expect(inside(reach({ ahead: [expected(4, 10, 10)] }), 20)).toBe(true)
    expect(inside(reach({ previous: { amounts: ['50'], values: [50] } }), 50)).toBe(true)
    expect(inside(reach({ previous: { amounts: ['50'], values: [50] } }, new Set(['k0'])), 50)).toBe(false)
  })
  it('goes on from what was used: in a bucket that is under way, and in all up to now', () => {
    const open = data([[1, 2]], { now: 1.5 * hour, ahead: [expected(1.5, 3, 3), expected(2.5, 4, 7)] })
    const bars = drawingOf(open, 'bars', nothing, size)
    const top = (line: string | undefined) => line?.match(/^M\S+ (\S+?)H/)?.[1]
    expect(Number(top(bars.ahead?.line))).toBeCloseTo(bars.y(2 + 3), 1)
    const all = drawingOf(open, 'cumulative', nothing, size)
    expect(all.ahead?.line.startsWith(`M${Math.round(all.x(1.5 * hour) * 10) / 10},${Math.round(all.y(3) * 10) / 10}`)).toBe(true)
    expect(all.ahead?.line.endsWith(`,${Math.round(all.y(10) * 10) / 10}`)).toBe(true)
  })
  it('draws levels that are passed and the next if it is near', () => {
    const levels = [50, 75, 90, 100].map((value) => ({ value, name: `${value} %` }))
    expect(levelsWithin(levels, 60).map((l) => l.value)).toEqual([50, 75])
    expect(levelsWithin(levels, 20)).toEqual([])
    expect(levelsWithin(levels, 500)).toHaveLength(4)
  })
})

describe('the cursor', () => {
  it('stands in a bucket that is under way once, with what is expected of it', () => {
    const open = data([[1, 2]], { ahead: [expected(1.5, 3, 3), expected(2.5, 4, 7)] })
    expect(stopsOf(open)).toEqual([
      { start: 0, end: hour, used: 0, ahead: -1 },
      { start: hour, end: 2 * hour, used: 1, ahead: 0 },
      { start: 2.5 * hour, end: 3.5 * hour, used: -1, ahead: 1 },
    ])
  })
  it('finds the bucket of an instant', () => {
    const stops = stopsOf(data([[1, 2, 3]]))
    expect([-5, 0, hour - 1, hour, 99 * hour].map((x) => stopAt(stops, x))).toEqual([0, 0, 0, 1, 2])
    expect(stopAt([], 3)).toBe(-1)
  })
  it('begins at the newest usage and does not leave the chart', () => {
    expect(step('ArrowLeft', -1, 9, 5)).toBe(5)
    expect(step('ArrowRight', 8, 9, 5)).toBe(8)
    expect(step('ArrowLeft', 0, 9, 5)).toBe(0)
    expect([step('Home', 4, 9, 5), step('End', 4, 9, 5)]).toEqual([0, 8])
    expect(step('a', 4, 9, 5)).toBeNull()
    expect(step('Home', -1, 0, -1)).toBeNull()
  })
})
