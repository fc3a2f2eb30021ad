import { describe, expect, it } from 'vitest'
import { ApiError } from '../../../api/client'
import { after } from './adjustdialog'
import { grantOf } from './grantdialog'
import { refusal } from './queries'
import { isCounted } from './recorded'

const typed = { credits: '100', class: 'promo' as const, from: '', to: '', priority: '', id: '', note: '' }
const now = Date.parse('2026-11-25T12:00:00Z')

describe('a grant', () => {
  it('says no more than was typed', () => {
    expect(grantOf(typed, 'UTC', now).request).toEqual({ credits: '100', class: 'promo' })
  })
  it('has its instants in the zone', () => {
    const all = { ...typed, from: '2026-12-01T00:00', to: '2026-12-31T00:00', priority: '0', id: 'g_1', note: ' Plan ' }
    expect(grantOf(all, 'Asia/Kolkata', now).request).toEqual({
      credits: '100',
      class: 'promo',
      priority: 0,
      effective_at: '2026-11-30T18:30:00.000Z',
      expires_at: '2026-12-30T18:30:00.000Z',
      grant_id: 'g_1',
      note: 'Plan',
    })
  })
  it('is not sent with anything wrong in it, and the field says so', () => {
    for (const [field, change] of [
      ['credits', { credits: '0' }],
      ['priority', { priority: '1001' }],
      ['grant_id', { id: 'no spaces' }],
      ['expires_at', { to: '2026-11-25T12:00' }],
      ['expires_at', { to: '20266-11-25T12:00' }],
      ['effective_at', { from: '20266-11-25T12:00' }],
      ['expires_at', { from: '2026-12-01T00:00', to: '2026-12-01T00:00' }],
    ] as const) {
      const { request, wrong } = grantOf({ ...typed, ...change }, 'UTC', now)
      expect(request).toBeNull()
      expect(wrong[field]).toBeTypeOf('string')
    }
  })
})

it('an adjustment shows the balance that it makes, to the digit', () => {
  expect(after('9779419.000001', 'take', '9779419.000002')).toBe('-0.000001')
  expect(after('-72674.342711', 'add', '72674.342711')).toBe('0')
})

it('an entry is counted once the watermark has reached it', () => {
  const at = '2026-11-25T12:00:00.500Z'
  expect(isCounted(at, null)).toBe(false)
  expect(isCounted(at, undefined)).toBe(false)
  expect(isCounted(at, '2026-11-25T12:00:00.499Z')).toBe(false)
  expect(isCounted(at, at)).toBe(true)
})

it('an answer that was lost does not pass for a refusal', () => {
  expect(refusal(new ApiError(0, 'timeout', 'x'))).toContain('not known whether')
  expect(refusal(new ApiError(409, 'idempotency_conflict', 'x'))).toContain('earlier try')
  expect(refusal(new ApiError(403, 'forbidden', 'scope credits:admin is needed'))).toContain('credits:admin')
})
