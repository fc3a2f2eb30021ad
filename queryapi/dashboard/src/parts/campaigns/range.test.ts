import { describe, expect, it } from 'vitest'
import { choiceOf, lastDays, rangeOf } from './range'

const now = Date.parse('2026-11-05T12:00:00Z')

describe('the range of a campaign', () => {
  it('is whole local days, also over a change of the clock', () => {
    expect(lastDays('7', 'America/New_York', now)).toEqual({ from: '2026-10-30T04:00:00.000Z', to: '2026-11-06T05:00:00.000Z' })
    expect(lastDays('7', 'UTC', now)).toEqual({ from: '2026-10-30T00:00:00.000Z', to: '2026-11-06T00:00:00.000Z' })
  })
  it('is called by what it is', () => {
    const named = (range: Record<string, string>) => choiceOf(new URLSearchParams(range), 'Asia/Kolkata', now)
    for (const days of ['7', '30', '90'] as const) expect(named(lastDays(days, 'Asia/Kolkata', now))).toBe(days)
    expect(named(lastDays('7', 'UTC', now))).toBe('other')
    expect(named({})).toBe('cycle')
    expect(named({ from: '2026-11-01T00:00:00Z' })).toBe('cycle')
  })
  it('is nothing where it is no range of instants', () => {
    expect(rangeOf(new URLSearchParams('from=2026-11-01&to=2026-11-02'))).toEqual({})
    expect(rangeOf(new URLSearchParams('from=2026-11-01T00:00:00Z&to=never'))).toEqual({})
    expect(rangeOf(new URLSearchParams('from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00%2B01:00'))).toEqual({
      from: '2026-11-01T00:00:00Z',
      to: '2026-11-02T00:00:00+01:00',
    })
  })
})
