import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { changesOf, closed, expiresError, grantError, isNothing, isOpen, maxPaused, nothing, queryOf, whatIfOf } from './view'
import { bandOf, differenceOf, endOf, type Outlook, unusedOf } from './words'

beforeEach(() => {
  vi.stubGlobal('navigator', { languages: ['en-GB'] })
  vi.useFakeTimers({ now: new Date('2026-11-25T12:00:00Z') })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const query = (text: string) => new URLSearchParams(text)

describe('what if in the address', () => {
  it('comes back as it went in', () => {
    const asked = { pause: ['cmp_1', 'a:b.c-d'], scale: 150, grant: '5000.5', expires: '2027-01-15' }
    const at = query('zone=utc')
    for (const [key, value] of Object.entries(changesOf(asked))) value === null ? at.delete(key) : at.set(key, value)
    expect(isOpen(at)).toBe(true)
    expect(whatIfOf(at)).toEqual(asked)
    for (const key of Object.keys(closed)) at.delete(key)
    expect(at.toString()).toBe('zone=utc')
    expect(whatIfOf(at)).toEqual(nothing)
  })
  it('is nothing where it makes no sense', () => {
    expect(whatIfOf(query('whatif_scale=9999&whatif_expires=soon&whatif_pause=a%20b,,'))).toEqual(nothing)
    expect(whatIfOf(query('whatif_scale=999')).scale).toBe(300)
    expect(whatIfOf(query('whatif_scale=-5')).scale).toBe(100)
    const many = Array.from({ length: 100 }, (_, i) => `cmp_${i}`).join(',')
    expect(whatIfOf(query(`whatif_pause=${many}`)).pause).toHaveLength(maxPaused)
    expect(whatIfOf(query('whatif_pause=a,a')).pause).toEqual(['a'])
  })
})

describe('what the API is asked', () => {
  it('is nothing for nothing', () => {
    expect(isNothing(nothing)).toBe(true)
    expect(queryOf(nothing, 'UTC')).toEqual({})
  })
  it('has the day of expiry begin in the zone of the page', () => {
    const asked = { pause: ['a', 'b'], scale: 0, grant: ' 5000 ', expires: '2027-01-15' }
    expect(queryOf(asked, 'America/New_York')).toEqual({
      pause: 'a,b',
      scale: 0,
      grant: '5000',
      grant_expires_at: '2027-01-15T05:00:00.000Z',
    })
  })
  it('leaves out what is wrong, and the expiry of no grant', () => {
    expect(queryOf({ ...nothing, grant: '1e3', expires: '2027-01-15' }, 'UTC')).toEqual({})
    expect(queryOf({ ...nothing, grant: '5', expires: '2026-11-25' }, 'UTC')).toEqual({ grant: '5' })
    expect(queryOf({ ...nothing, expires: '2027-01-15' }, 'UTC')).toEqual({})
  })
  it('says what is wrong', () => {
    for (const wrong of ['0', '0.0', '-1', '1.0000001', 'many', '1,000', '9999999999999']) expect(grantError(wrong)).not.toBe('')
    for (const right of ['', ' ', '1', '0.000001', '1000000000000']) expect(grantError(right)).toBe('')
    expect(expiresError('2026-11-25', 'UTC')).not.toBe('')
    // It is the next day there already.
    expect(expiresError('2026-11-26', 'Pacific/Kiritimati')).not.toBe('')
    expect(expiresError('2026-11-26', 'UTC')).toBe('')
    expect(expiresError('2026-02-31', 'UTC')).not.toBe('')
  })
})

type Runway = Outlook['runway']
const runway = (change: Partial<Runway>): Runway => ({
  exhausts_at: null,
  p10: null,
  p90: null,
  method: 'seasonal',
  reason: null,
  ...change,
})
const on = (exhausts_at: string) => runway({ exhausts_at })

describe('the difference', () => {
  const says = (then: Runway, now: Runway) => differenceOf({ runway: then, baseline: now }, 'UTC')
  const soon = on('2026-12-01T00:00:00Z')
  it('is in days, and which way', () => {
    expect(says(on('2026-12-15T00:00:00Z'), soon)).toBe('With this the credits run out on 15 Dec 2026, 14 days later.')
    expect(says(soon, on('2026-12-15T00:00:00Z'))).toBe('With this the credits run out on 1 Dec 2026, 14 days sooner.')
    expect(says(on('2026-12-01T00:40:00Z'), soon)).toBe('The credits run out on 1 Dec 2026 all the same.')
  })
  it('says when there is an end on one side alone, or on none', () => {
    expect(says(runway({ reason: 'beyond_5_years' }), soon)).toBe('With this the credits no longer run out.')
    expect(says(runway({ reason: 'no_consumption' }), soon)).toContain('nothing is used')
    expect(says(soon, runway({ reason: 'no_consumption' }))).toContain('As things are, they do not.')
    expect(says(soon, runway({ reason: 'exhausted' }))).toContain('As things are, nothing is left.')
    expect(says(runway({ reason: 'no_consumption' }), runway({ reason: 'no_consumption' }))).toContain('changes nothing')
    expect(says(runway({ reason: 'no_consumption' }), runway({ reason: 'exhausted' }))).toBe(
      'With this: nothing is used. As things are: nothing is left.',
    )
  })
  it('knows what is not known', () => {
    expect(endOf(runway({ method: 'insufficient_data' }), 'UTC')).toBe('Not known yet')
    expect(bandOf(runway({}), 'UTC')).toBeNull()
    expect(bandOf({ ...soon, p10: '2026-11-30T00:00:00Z', p90: '2026-12-03T00:00:00Z' }, 'UTC')).toBe('30 Nov 2026 to 3 Dec 2026')
    expect(bandOf({ ...soon, p10: '2026-11-30T00:00:00Z' }, 'UTC')).toBe('30 Nov 2026 at the earliest, or not at all')
  })
})

it('what expires unused stands side by side, soonest first', () => {
  const of = (at: string, p50: string) => ({ at, p10: p50, p50, p90: p50 })
  expect(unusedOf([of('2026-12-02T00:00:00Z', '5')], [of('2026-12-02T00:00:00Z', '7'), of('2026-12-01T00:00:00Z', '1')])).toEqual(
    [
      { at: '2026-12-01T00:00:00Z', now: null, changed: '1' },
      { at: '2026-12-02T00:00:00Z', now: '5', changed: '7' },
    ],
  )
})
