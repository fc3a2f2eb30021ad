import { describe, expect, it, vi } from 'vitest'
import type { Schemas } from '../../api/client'
import { orderOf, sortOf } from './board'
import { endingOf, matches } from './words'

vi.stubGlobal('navigator', { languages: ['en-GB'] })

describe('how credits end', () => {
  const now = Date.parse('2026-11-25T12:00:00Z')
  const ending = (runway: Partial<Schemas['Runway']>, overdraft = '0') =>
    endingOf(
      {
        overdraft,
        runway: { exhausts_at: null, p10: null, p90: null, method: 'seasonal', reason: null, ...runway } as Schemas['Runway'],
      },
      'UTC',
      now,
    )

  it('is overdrawn before all else', () => {
    expect(ending({ reason: 'exhausted' }, '0.000001')).toMatchObject({ text: 'Overdrawn', tone: 'bad' })
  })
  it('is a date, and a time if it is near', () => {
    expect(ending({ exhausts_at: '2027-01-20T06:55:00Z', p10: '2027-01-18T06:30:00Z' })).toEqual({
      text: '20 Jan 2027',
      more: 'As early as 18 Jan 2027',
      tone: 'plain',
    })
    expect(ending({ exhausts_at: '2026-11-26T23:52:00Z', p10: '2026-11-26T18:30:00Z' })).toEqual({
      text: '26 Nov 2026, 23:52',
      more: '',
      tone: 'bad',
    })
    expect(ending({ exhausts_at: '2026-12-01T00:00:00Z' }).tone).toBe('warn')
  })
  it('says why there is none', () => {
    expect(ending({ reason: 'no_consumption' }).text).toBe('Not in use')
    expect(ending({ reason: 'beyond_5_years' }).text).toBe('In over 5 years')
    expect(ending({ method: 'insufficient_data' }).text).toBe('Not known yet')
  })
})

it('a search is of names and ids, in any case', () => {
  const acme = { name: 'Acme Corp', workspace_id: 'demo-acme' }
  for (const found of ['', ' ', 'ACME', 'corp', 'demo-']) expect(matches(acme, found)).toBe(true)
  expect(matches(acme, 'globex')).toBe(false)
  expect(matches({ name: null, workspace_id: 'ws_1' }, 'ws_')).toBe(true)
})

it('the address is read leniently', () => {
  expect(sortOf('name')).toBe('runway')
  expect(orderOf(null, 'burn_rate')).toBe('desc')
  expect(orderOf('up', 'runway')).toBe('asc')
  expect(orderOf('desc', 'runway')).toBe('desc')
})
