import { expect, it } from 'vitest'
import { ApiError } from '../../api/client'
import { problemOf } from './problem'
import { untilOf } from './silence'

const now = Date.parse('2026-10-24T22:30:00Z')

it('silences for hours from now, or until a time of the zone', () => {
  expect(untilOf('8', '', 'UTC', now)).toBe('2026-10-25T06:30:00.000Z')
  // The clocks in Berlin go back that night.
  expect(untilOf('until', '2026-10-25T01:30', 'Europe/Berlin', now)).toBe('2026-10-24T23:30:00.000Z')
  expect(untilOf('until', '2026-10-25T08:00', 'Europe/Berlin', now)).toBe('2026-10-25T07:00:00.000Z')
})

it('does not silence until what is past, or no time', () => {
  expect(untilOf('until', '2026-10-25T00:30', 'Europe/Berlin', now)).toBeNull()
  expect(untilOf('until', '', 'Europe/Berlin', now)).toBeNull()
})

it('offers to reload where somebody else wrote, and only there', () => {
  const of = (code: string, retryAfter = 0) => problemOf(new ApiError(409, code, 'detail', '', [], retryAfter))
  expect(of('alert_rule_conflict')).toMatchObject({ title: 'Somebody changed it meanwhile', conflict: true })
  expect(of('alert_rule_not_found').conflict).toBe(true)
  expect(of('webhooks_unavailable')).toMatchObject({ title: 'This server cannot sign messages', conflict: false })
  expect(of('rate_limited', 12).detail).toBe('Try again in 12 seconds.')
})
