import { describe, expect, it } from 'vitest'
import { backwards, fieldsOf, questionOf, rangeOf, viewOf } from './view'

const view = (query: string) => viewOf(new URLSearchParams(query))
const newYork = 'America/New_York'
/** A Wednesday, 17:41 in New York. */
const now = Date.parse('2026-11-25T22:41:00Z')

describe('the address', () => {
  it('says nothing at first: all entries, consumption by day', () => {
    expect(view('')).toEqual({ view: 'grouped', types: [], campaign: null, preset: 'all', from: null, to: null })
  })

  it('is read leniently', () => {
    expect(view('view=rows&type=grant,nonsense,void&preset=constructor&from=yesterday&to=2026-11-20T10:00:00')).toEqual({
      view: 'grouped',
      types: ['grant', 'void'],
      campaign: null,
      preset: 'all',
      from: null,
      to: null,
    })
  })

  it('knows no days that there are not, and none before there can be entries', () => {
    for (const day of ['2026-02-30', '2026-13-01', '0202-11-18', '1999-12-31', '2100-01-01', '2026-1-1']) {
      expect(view(`from=${day}&to=${day}`)).toMatchObject({ preset: 'all', from: null, to: null })
    }
    expect(view('from=2024-02-29&to=0001-01-01T00:00:00Z')).toMatchObject({ from: '2024-02-29', to: null })
  })

  it('tells unattributed consumption from no filter', () => {
    expect(view('campaign=~').campaign).toBe('')
    expect(view('campaign=').campaign).toBeNull()
    expect(view('campaign=cmp_1').campaign).toBe('cmp_1')
  })

  it('lets a preset win over days', () => {
    expect(view('preset=last_week&from=2026-01-01')).toMatchObject({ preset: 'last_week', from: null, to: null })
    expect(view('from=2026-01-01')).toMatchObject({ preset: null, from: '2026-01-01' })
  })
})

describe('the range', () => {
  const rangeAt = (query: string, zone: string, weekStart = 'monday', at = now) => rangeOf(view(query), zone, weekStart, at)

  it('last week begins where weeks begin', () => {
    expect(rangeAt('preset=last_week', newYork, 'sunday')).toEqual({
      from: '2026-11-15T05:00:00.000Z',
      to: '2026-11-22T05:00:00.000Z',
    })
    expect(rangeAt('preset=last_week', newYork)).toEqual({ from: '2026-11-16T05:00:00.000Z', to: '2026-11-23T05:00:00.000Z' })
  })

  it('today is the day of the zone and has no end', () => {
    expect(rangeAt('preset=today', 'Asia/Kolkata')).toEqual({ from: '2026-11-25T18:30:00.000Z', to: undefined })
  })

  it('months may be of any length, and of another year', () => {
    const january = Date.parse('2027-01-15T00:00:00Z')
    expect(rangeAt('preset=last_month', 'UTC', 'monday', january)).toEqual({
      from: '2026-12-01T00:00:00.000Z',
      to: '2027-01-01T00:00:00.000Z',
    })
  })

  it('days across a change of the clocks are whole days', () => {
    expect(rangeAt('from=2026-10-25&to=2026-10-25', 'Europe/Berlin')).toEqual({
      from: '2026-10-24T22:00:00.000Z',
      to: '2026-10-25T23:00:00.000Z',
    })
  })

  it('a day without midnight begins with its first instant', () => {
    expect(rangeAt('from=2026-04-24', 'Africa/Cairo').from).toBe('2026-04-23T22:00:00.000Z')
  })

  it('instants are kept', () => {
    expect(rangeAt('from=2026-11-20T10:00:00%2B01:00&to=2026-11-20T10:00:00.5Z', 'UTC')).toEqual({
      from: '2026-11-20T09:00:00.000Z',
      to: '2026-11-20T10:00:00.500Z',
    })
  })

  it('shows as the days that are in it', () => {
    expect(fieldsOf(rangeAt('preset=last_week', newYork), newYork)).toEqual({ from: '2026-11-16', to: '2026-11-22' })
    expect(fieldsOf(rangeAt('', newYork), newYork)).toEqual({ from: '', to: '' })
  })

  it('that ends before it begins is told', () => {
    expect(backwards(rangeAt('from=2026-11-20&to=2026-11-19', 'UTC'))).toBe(true)
    expect(backwards(rangeAt('from=2026-11-20&to=2026-11-20', 'UTC'))).toBe(false)
  })
})

describe('the question', () => {
  it('has only what narrows it', () => {
    const all = view('type=grant,adjustment,void,expiry,consumption')
    expect(questionOf(all, { from: undefined, to: undefined }, 'UTC')).toEqual({ view: 'grouped', tz: 'UTC' })
    const some = view('type=void&campaign=~&view=events')
    expect(questionOf(some, { from: 'a', to: 'b' }, 'UTC')).toEqual({
      view: 'events',
      tz: 'UTC',
      from: 'a',
      to: 'b',
      type: ['void'],
      campaign_id: '',
    })
  })
})
