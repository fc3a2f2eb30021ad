import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Detail, datesOf, marksOf, quotaVerdict, scaleOf } from './words'

beforeEach(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }))
afterEach(() => void vi.unstubAllGlobals())

const now = Date.parse('2026-11-25T12:00:00Z')

const detail = (change: Partial<Detail> = {}) =>
  ({
    status: 'ACTIVE',
    quota: '1000',
    quota_used: '400',
    quota_used_percent: 40,
    quota_exhausts_at: null,
    projected: { p10: '700', p50: '800', p90: '900', at: '2026-12-30T00:00:00Z', method: 'seasonal' },
    starts_at: null,
    ends_at: null,
    ...change,
  }) as Detail

const verdict = (change: Partial<Detail>) => quotaVerdict(detail(change), 'UTC', now)

describe('the verdict on a quota', () => {
  it('is none without one', () => {
    expect(verdict({ quota: null, quota_used_percent: null })).toBeNull()
  })
  it('says exactly how far over it is', () => {
    expect(verdict({ quota_used: '1000.000001' })).toEqual({
      tone: 'bad',
      text: 'The campaign is 0.000001 credits over its quota.',
    })
    expect(verdict({ quota_used: '1000' })?.text).toBe('The quota is used up.')
    expect(verdict({ quota_used: '999.999999' })?.tone).toBe('good')
    expect(verdict({ quota_used: '-3', quota_used_percent: -0.3 })?.tone).toBe('good')
  })
  it('expects nothing of what is over', () => {
    expect(verdict({ status: 'PAUSED' })?.text).toContain('paused')
    expect(verdict({ status: 'COMPLETED' })?.text).toContain('completed')
  })
  it('says when it is reached, to the minute when that is soon, and how long before the end', () => {
    expect(verdict({ quota_exhausts_at: '2026-12-03T11:25:00Z' })?.text).toBe('At this rate the quota is reached on 3 Dec 2026.')
    expect(verdict({ quota_exhausts_at: '2026-12-03T11:25:00Z', ends_at: '2026-12-30T00:00:00Z' })?.text).toBe(
      'At this rate the quota is reached on 3 Dec 2026, 26 days before the campaign ends.',
    )
    expect(verdict({ quota_exhausts_at: '2026-11-26T11:25:00Z' })?.text).toContain('26 Nov 2026, 11:25')
  })
  it('tells likely from certain, and both from unknown', () => {
    expect(verdict({})).toEqual({ tone: 'good', text: 'The quota lasts until 29 Dec 2026 as things go.' })
    const wide = { p10: '700', p50: '950', p90: '1000', at: '2026-12-30T00:00:00Z', method: 'run_rate' as const }
    expect(verdict({ projected: wide })?.text).toContain('not certain')
    const none = { p10: null, p50: null, p90: null, at: null, method: 'insufficient_data' as const }
    expect(verdict({ projected: none })?.text).toContain('Too little is known')
  })
})

describe('the bar of a quota', () => {
  it('spans what is expected, and leaves room for the mark at 100', () => {
    expect(scaleOf(0, null)).toBe(108)
    expect(scaleOf(-5, null)).toBe(108)
    expect(scaleOf(50, 134)).toBeCloseTo(139.36)
    expect(scaleOf(12_000, null)).toBe(400)
  })
  it('names marks as long as figures do not run into each other, and always 100', () => {
    const named = (scale: number) =>
      marksOf(scale)
        .filter((mark) => mark.named)
        .map((mark) => mark.at)
    expect(named(108)).toEqual([50, 75, 90, 100])
    expect(named(139)).toEqual([50, 100])
    expect(named(400)).toEqual([100])
    expect(marksOf(400)).toHaveLength(4)
  })
})

it('dates end with the last day, not with the one after', () => {
  const at = (starts_at: string | null, ends_at: string | null) => datesOf({ starts_at, ends_at }, 'UTC')
  expect(at('2026-10-01T00:00:00Z', '2026-12-30T00:00:00Z')).toBe('1 Oct 2026 to 29 Dec 2026')
  expect(at('2026-10-01T00:00:00Z', null)).toBe('Since 1 Oct 2026')
  expect(at(null, '2026-12-30T00:00:00Z')).toBe('Until 29 Dec 2026')
  expect(at(null, null)).toBeNull()
})
