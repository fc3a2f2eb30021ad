import { describe, expect, it, vi } from 'vitest'
import { about } from './auditwords'
import { expiryOf } from './createkey'
import { stateOf } from './keys'

vi.stubGlobal('navigator', { languages: ['en-GB'] })

describe('a key', () => {
  const now = Date.parse('2026-11-25T12:00:00Z')
  it('is over once it is revoked, and from the instant at which it expires', () => {
    expect(stateOf({ revoked_at: null, expires_at: null }, now)).toBe('active')
    expect(stateOf({ revoked_at: null, expires_at: '2026-11-25T12:00:00.001Z' }, now)).toBe('active')
    expect(stateOf({ revoked_at: null, expires_at: '2026-11-25T12:00:00Z' }, now)).toBe('expired')
    expect(stateOf({ revoked_at: '2026-11-25T11:00:00Z', expires_at: '2026-11-25T11:30:00Z' }, now)).toBe('revoked')
  })
  it('expires so many days from now, after its last day, or never', () => {
    expect(expiryOf('30', '', 'UTC', now)).toBe('2026-12-25T12:00:00.000Z')
    expect(expiryOf('date', '2026-12-31', 'America/New_York', now)).toBe('2027-01-01T05:00:00.000Z')
    expect(expiryOf('', '2026-12-31', 'UTC', now)).toBeUndefined()
  })
})

it('the audit log says in a few words what a change was about', () => {
  expect(about({ detail: { data: { credits: '9779419.000001', grant_id: 'g1', note: 'Plan' } } })).toBe(
    '9,779,419.000001 credits · g1 · Plan',
  )
  expect(about({ detail: { key_id: 'k', name: 'Report' } })).toBe('Report')
  expect(about({ detail: {} })).toBe('')
})
