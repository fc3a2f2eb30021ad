import { describe, expect, it } from 'vitest'
import { dayTicks, nearest, valueAt } from './scale'

const at = (text: string) => Date.parse(text)

describe('ticks of days', () => {
  const texts = (from: string, to: string, zone: string, most: number) =>
    dayTicks(at(from), at(to), zone, most).map((tick) => new Date(tick).toISOString().slice(0, 16))
  it('are local midnights, also where a day has another length', () => {
    expect(texts('2026-10-31T12:00:00Z', '2026-11-03T12:00:00Z', 'America/New_York', 8)).toEqual([
      '2026-11-01T04:00',
      '2026-11-02T05:00',
      '2026-11-03T05:00',
    ])
  })
  it('are no more than there is room for', () => {
    for (const days of [1, 9, 56, 400, 5_000]) {
      const ticks = dayTicks(0, days * 86_400_000, 'Asia/Kolkata', 5)
      expect(ticks.length).toBeLessThanOrEqual(6)
      expect(ticks.length).toBeGreaterThan(0)
    }
  })
})

describe('reading a curve', () => {
  it('finds the nearest point', () => {
    expect(nearest([], 3)).toBe(-1)
    expect([-5, 0, 4, 6, 99].map((x) => nearest([0, 10, 20], x))).toEqual([0, 0, 0, 1, 2])
  })
  it('goes straight from point to point and not beyond', () => {
    const points = [
      { at: 0, value: 10 },
      { at: 10, value: 0 },
    ]
    expect([0, 5, 10].map((x) => valueAt(points, x))).toEqual([10, 5, 0])
    expect(valueAt(points, -1)).toBeNull()
    expect(valueAt(points, 11)).toBeNull()
  })
})
