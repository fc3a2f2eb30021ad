import { describe, expect, it } from 'vitest'
import { isId, typedCredits, typedInstant, typedPriority } from './entry'

describe('typed credits', () => {
  it.each([
    ['9779419', '9779419'],
    ['0.000001', '0.000001'],
    [' 1 000 000.50 ', '1000000.5'],
    ['007', '7'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['1.0000000000', '1'],
    ['1000000000000', '1000000000000'],
  ])('%j is %s, to the digit', (typed, credits) => expect(typedCredits(typed)).toEqual({ credits }))

  it.each(['', ' ', '1,5', '1,000', '0', '0.0', '-1', '+1', '1e3', '1.0000001', '1000000000000.000001', '٣', 'NaN'])(
    '%j is refused',
    (typed) => expect(typedCredits(typed).wrong).toBeTypeOf('string'),
  )
})

it('a typed time is of the zone', () => {
  expect(typedInstant('2026-12-31T23:30', 'America/New_York')).toEqual({ at: '2027-01-01T04:30:00.000Z' })
  expect(typedInstant('', 'UTC')).toEqual({})
})

it.each(['20266-01-01T00:00', '0026-01-01T00:00', '2100-01-01T00:00', 'tomorrow'])('%j is a time that nobody means', (text) => {
  expect(typedInstant(text, 'UTC').wrong).toBeTypeOf('string')
})

it('a priority is 0 to 1000, or left to the API', () => {
  expect(typedPriority('')).toEqual({})
  expect(typedPriority('0')).toEqual({ priority: 0 })
  for (const wrong of ['-1', '1001', '1.5', 'first']) expect(typedPriority(wrong).wrong).toBeTypeOf('string')
})

it('ids are those of the API', () => {
  expect(isId('grant_1:a.b-c')).toBe(true)
  for (const wrong of ['', 'with space', 'ümlaut', 'a'.repeat(129)]) expect(isId(wrong)).toBe(false)
})
