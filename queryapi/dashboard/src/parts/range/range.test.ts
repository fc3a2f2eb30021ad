import { describe, expect, it } from 'vitest'
import { backwards, chosenRange, fieldsOf } from './address'
import { instantsOf, lastCycle, type Of, offered, type Preset, presets } from './presets'

const now = Date.parse('2026-11-25T23:21:09Z')
const period = { from: '2026-11-13T00:00:00Z', to: '2026-12-13T00:00:00Z' }
const grant = (effective_at: string, expires_at: string | null, status: 'expired' | 'voided' = 'expired') => ({
  class: 'paid' as const,
  effective_at,
  expires_at,
  status,
})

describe('presets', () => {
  const given: Of = { zone: 'UTC', now, weekStart: 'monday', looks: 'usage', balance: { period, grants: [] } }
  const of = (preset: Preset, zone: string, more: Partial<Of> = {}) =>
    Object.values(instantsOf(preset, { ...given, zone, ...more }) ?? {})
  it('are whole days of the zone, also past midnight there', () => {
    expect(of('today', 'America/New_York')).toEqual(['2026-11-25T05:00:00.000Z', '2026-11-26T05:00:00.000Z'])
    expect(of('today', 'Asia/Kolkata')).toEqual(['2026-11-25T18:30:00.000Z', '2026-11-26T18:30:00.000Z'])
  })
  it('have as many days as they say, however long those are', () => {
    expect(of('last_7_days', 'UTC')).toEqual(['2026-11-19T00:00:00.000Z', '2026-11-26T00:00:00.000Z'])
    // The clock went back on 1 November: 30 days of one more hour.
    const [from, to] = of('last_30_days', 'America/New_York')
    expect((Date.parse(to ?? '') - Date.parse(from ?? '')) / 3_600_000).toBe(30 * 24 + 1)
  })
  it('have whole months', () => {
    expect(of('this_month', 'Europe/Berlin')).toEqual(['2026-10-31T23:00:00.000Z', '2026-11-30T23:00:00.000Z'])
    expect(of('last_month', 'Europe/Berlin')).toEqual(['2026-09-30T22:00:00.000Z', '2026-10-31T23:00:00.000Z'])
    expect(of('last_12_months', 'UTC')).toEqual(['2025-12-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'])
  })
  it('stay the same for a quarter of an hour', () => {
    expect(of('last_24_hours', 'UTC')).toEqual(['2026-11-24T23:30:00.000Z', '2026-11-25T23:30:00.000Z'])
    for (const preset of Object.keys(presets) as Preset[]) {
      const at = (time: number) => instantsOf(preset, { ...given, now: time })
      expect(at(now)).toEqual(at(now + 60_000))
    }
  })
  it('have weeks that begin where weeks begin', () => {
    const newYork = 'America/New_York'
    expect(of('last_week', newYork, { weekStart: 'sunday' })).toEqual(['2026-11-15T05:00:00.000Z', '2026-11-22T05:00:00.000Z'])
    expect(of('last_week', newYork)).toEqual(['2026-11-16T05:00:00.000Z', '2026-11-23T05:00:00.000Z'])
    expect(of('this_week', newYork)).toEqual(['2026-11-23T05:00:00.000Z', '2026-11-30T05:00:00.000Z'])
    expect(of('yesterday', newYork)).toEqual(['2026-11-24T05:00:00.000Z', '2026-11-25T05:00:00.000Z'])
  })
  it('have months of any length, and of another year', () => {
    const january = Date.parse('2027-01-15T00:00:00Z')
    expect(of('last_month', 'UTC', { now: january })).toEqual(['2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'])
  })
  it('are the same for usage and for a log, but for all time', () => {
    for (const [preset] of offered('usage').filter(([name]) => name !== 'cycle'))
      expect(of(preset, 'UTC')).toEqual(of(preset, 'UTC', { looks: 'log' }))
    expect(of('cycle', 'UTC', { looks: 'log' })).toEqual([period.from, period.to])
    expect(offered('log').map(([name]) => name)).toEqual(['all', ...offered('usage').map(([name]) => name)])
  })
  it('leave the cycle to the API, and wait for the balance with the last one', () => {
    expect(instantsOf('cycle', { ...given, balance: undefined })).toEqual({})
    expect(instantsOf('last_cycle', { ...given, balance: undefined })).toBeNull()
  })
})

describe('the last cycle', () => {
  it('is the paid grant that ended where this one begins', () => {
    const grants = [
      grant('2026-09-01T00:00:00Z', period.from, 'voided'),
      { ...grant('2026-10-01T00:00:00Z', period.from), class: 'promo' as const },
      grant('2026-10-14T00:00:00Z', period.from),
    ]
    expect(lastCycle({ period, grants })).toEqual({ from: '2026-10-14T00:00:00Z', to: period.from })
  })
  it('is the month before where cycles are months', () => {
    const march = { from: '2026-03-01T00:00:00Z', to: '2026-04-01T00:00:00Z' }
    expect(lastCycle({ period: march, grants: [] })).toEqual({ from: '2026-02-01T00:00:00.000Z', to: march.from })
  })
  it('is as long a time before where nothing tells of it', () => {
    expect(lastCycle({ period, grants: [grant('2026-01-01T00:00:00Z', null)] }).from).toBe('2026-10-14T00:00:00.000Z')
  })
})

describe('the range of the address', () => {
  const of = (query: string, zone = 'UTC', looks: Of['looks'] = 'usage') =>
    chosenRange(new URLSearchParams(query), { zone, now, weekStart: 'monday', looks, balance: { period, grants: [] } })
  it('is the cycle where it says nothing', () => {
    expect(of('')).toEqual({ preset: 'cycle', range: {}, ignored: [] })
  })
  it('is instants, or local days of which the last is in it', () => {
    const range = { from: '2026-11-01T00:00:00.000Z', to: '2026-11-03T00:00:00.000Z' }
    expect(of('from=2026-11-01T01:00:00%2B01:00&to=2026-11-03T00:00:00Z')).toEqual({ preset: null, range, ignored: [] })
    expect(of('from=2026-11-01&to=2026-11-02&preset=today')).toEqual({ preset: null, range, ignored: [] })
    expect(of('from=2026-11-01&to=2026-11-01', 'America/New_York').range).toEqual({
      from: '2026-11-01T04:00:00.000Z',
      to: '2026-11-02T05:00:00.000Z',
    })
  })
  it('is the cycle where it makes no sense, and what was ignored is told', () => {
    const cases: [string, string[]][] = [
      ['preset=yesteryear', ['preset']],
      ['preset=toString', ['preset']],
      ['from=2026-11-05&to=2026-11-01', ['from', 'to']],
      ['from=2026-11-01', ['to']],
      ['from=tomorrow&to=2026-13-45', ['from', 'to']],
      ['from=2026-11-01T00:00:00&to=2026-11-02', ['from']],
      ['from=1066-10-14T00:00:00Z&to=2026-11-02', ['from']],
      ['from=0202-11-18&to=2026-11-02', ['from']],
      ['preset=all', ['preset']],
    ]
    for (const [query, ignored] of cases) expect(of(query)).toEqual({ preset: 'cycle', range: {}, ignored })
  })
})

describe('the range of a log', () => {
  const of = (query: string, zone = 'UTC') =>
    chosenRange(new URLSearchParams(query), { zone, now, weekStart: 'monday', looks: 'log', balance: { period, grants: [] } })
  it('is all there is where nothing is said that makes sense', () => {
    for (const query of ['', 'preset=constructor', 'from=yesterday&to=2026-11-20T10:00:00']) {
      expect(of(query)).toMatchObject({ preset: 'all', range: {} })
    }
    for (const day of ['2026-02-30', '2026-13-01', '0202-11-18', '1999-12-31', '2100-01-01', '2026-1-1']) {
      expect(of(`from=${day}&to=${day}`)).toMatchObject({ preset: 'all', range: {} })
    }
  })
  it('may be open at either end', () => {
    expect(of('from=2024-02-29&to=0001-01-01T00:00:00Z')).toEqual({
      preset: null,
      range: { from: '2024-02-29T00:00:00.000Z' },
      ignored: ['to'],
    })
    expect(of('to=2024-02-29').range).toEqual({ to: '2024-03-01T00:00:00.000Z' })
  })
  it('is a preset rather than one end, and two ends rather than a preset', () => {
    expect(of('preset=last_week&from=2026-01-01').preset).toBe('last_week')
    expect(of('preset=last_week&from=2026-01-01&to=2026-01-02').preset).toBeNull()
  })
  it('has whole days, across a change of the clocks and where a day has no midnight', () => {
    expect(of('from=2026-10-25&to=2026-10-25', 'Europe/Berlin').range).toEqual({
      from: '2026-10-24T22:00:00.000Z',
      to: '2026-10-25T23:00:00.000Z',
    })
    expect(of('from=2026-04-24', 'Africa/Cairo').range).toEqual({ from: '2026-04-23T22:00:00.000Z' })
  })
  it('keeps instants', () => {
    expect(of('from=2026-11-20T10:00:00%2B01:00&to=2026-11-20T10:00:00.5Z').range).toEqual({
      from: '2026-11-20T09:00:00.000Z',
      to: '2026-11-20T10:00:00.500Z',
    })
  })
  it('shows as the days that are in it', () => {
    const newYork = 'America/New_York'
    expect(fieldsOf(of('preset=last_week', newYork).range ?? {}, newYork)).toEqual({ from: '2026-11-16', to: '2026-11-22' })
    expect(fieldsOf(of('', newYork).range ?? {}, newYork)).toEqual({ from: '', to: '' })
  })
  it('that ends before it begins is told', () => {
    expect(backwards(of('from=2026-11-20&to=2026-11-18').range ?? {})).toBe(true)
    expect(backwards(of('from=2026-11-20&to=2026-11-20').range ?? {})).toBe(false)
  })
})
