import { beforeAll, describe, expect, it, vi } from 'vitest'
import { timeTicks } from './ticks'

const at = (text: string) => Date.parse(text)

beforeAll(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }))

describe('ticks of time', () => {
  const ticks = (from: string, to: string, zone: string, most: number, weekStart = 1) =>
    timeTicks(at(from), at(to), zone, most, weekStart).map(
      (tick) => `${new Date(tick.at).toISOString().slice(0, 16)} ${tick.text}`,
    )
  it('are local midnights, also where a day has 25 hours', () => {
    expect(ticks('2026-10-31T12:00:00Z', '2026-11-03T12:00:00Z', 'America/New_York', 4)).toEqual([
      '2026-11-01T04:00 1 Nov',
      '2026-11-02T05:00 2 Nov',
      '2026-11-03T05:00 3 Nov',
    ])
  })
  it('leave out an hour that the clock skips, and have one that it repeats once', () => {
    expect(ticks('2026-03-08T05:00:00Z', '2026-03-08T09:00:00Z', 'America/New_York', 5)).toEqual([
      '2026-03-08T05:00 8 Mar',
      '2026-03-08T06:00 01:00',
      '2026-03-08T07:00 03:00',
      '2026-03-08T08:00 04:00',
      '2026-03-08T09:00 05:00',
    ])
    const hours = ticks('2026-11-01T04:00:00Z', '2026-11-01T08:00:00Z', 'America/New_York', 5)
    expect(hours.filter((text) => text.endsWith(' 01:00'))).toHaveLength(1)
  })
  it('are hours and minutes of zones that are half an hour off', () => {
    expect(ticks('2026-11-25T00:00:00Z', '2026-11-25T02:00:00Z', 'Asia/Kolkata', 3)).toEqual([
      '2026-11-25T00:30 06:00',
      '2026-11-25T01:30 07:00',
    ])
    expect(ticks('2026-11-25T10:00:00Z', '2026-11-25T10:10:00Z', 'UTC', 5)).toHaveLength(6)
  })
  it('begin weeks on the day of the workspace', () => {
    const weekdays = (start: number) =>
      timeTicks(at('2026-09-01T00:00:00Z'), at('2026-10-20T00:00:00Z'), 'UTC', 10, start).map((t) => new Date(t.at).getUTCDay())
    for (const start of [0, 1, 6]) expect(new Set(weekdays(start))).toEqual(new Set([start]))
  })
  it('are months for a year, in line with the year', () => {
    expect(ticks('2025-12-10T00:00:00Z', '2026-12-10T00:00:00Z', 'Europe/Berlin', 6)).toEqual([
      '2025-12-31T23:00 Jan 2026',
      '2026-03-31T22:00 Apr 2026',
      '2026-06-30T22:00 Jul 2026',
      '2026-09-30T22:00 Oct 2026',
    ])
  })
  it('are no more than asked for, give or take one at an edge', () => {
    const start = at('2026-01-01T00:00:00Z')
    for (const minutes of [1, 7, 45, 180, 1440, 4000, 44_000, 130_000, 527_000, 5_270_000, 40_000_000]) {
      for (const most of [2, 3, 6, 12]) {
        const found = timeTicks(start, start + minutes * 60_000, 'America/Santiago', most).length
        expect(found).toBeLessThanOrEqual(most * 1.2 + 1)
      }
    }
  })
})
