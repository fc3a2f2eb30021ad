import { describe, expect, it } from 'vitest'
import { ApiError } from './client'
import { askAgain, retries, waits } from './trouble'

const failed = (status: number, retryAfter = 0) => new ApiError(status, 'any', 'any', '', [], retryAfter)

describe('what failed', () => {
  it('is asked for again by itself, unless the question is wrong', () => {
    for (const status of [0, 500, 503, 429]) expect(askAgain(failed(status))).toBe(10_000)
    for (const status of [400, 404, 409, 422]) expect(askAgain(failed(status))).toBe(false)
    expect(askAgain(new Error('a mistake of the page'))).toBe(false)
  })
  it('is asked for again when the server says, within a minute', () => {
    expect(askAgain(failed(429, 3))).toBe(3_000)
    expect(askAgain(failed(503, 3_600))).toBe(60_000)
    expect(retries(0, failed(503))).toBe(true)
    expect(retries(2, failed(503))).toBe(false)
    expect(retries(0, failed(429, 3))).toBe(false)
  })
  it('is asked for again now and then when it was refused', () => {
    for (const status of [401, 403]) expect(askAgain(failed(status))).toBe(30_000)
    expect(retries(0, failed(403))).toBe(false)
  })
  it('waits for its time whatever else happens', () => {
    const state = { status: 'error', error: failed(429, 3), errorUpdatedAt: 100_000 }
    expect(waits(state, 102_999)).toBe(true)
    expect(waits(state, 103_000)).toBe(false)
    expect(waits({ ...state, status: 'success' }, 100_000)).toBe(false)
    // A clock that was set back makes nobody wait for it.
    expect(waits(state, 99_999)).toBe(false)
    expect(waits({ ...state, error: failed(404) }, 100_000)).toBe(false)
  })
})
