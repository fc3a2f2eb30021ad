import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Burn, causeOf, type Part, partsOf } from './causes'

beforeEach(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }))
afterEach(() => void vi.unstubAllGlobals())

const part = (campaign_id: string, since_yesterday: string, since_last_week = '0'): Part => ({
  campaign_id,
  name: null,
  per_hour: '1',
  share_percent: null,
  since_yesterday,
  since_last_week,
  change_percent: null,
})
const burn = (contributions: Part[], since_yesterday: string, since_last_week = '0'): Burn => ({
  contributions,
  other: null,
  per_hour: '10',
  since_yesterday,
  since_last_week,
  summary: '',
})

describe('the cause of a change', () => {
  it('is the campaign that changed most, over the time that is asked for', () => {
    const b = burn([part('a', '7.1', '1'), part('b', '2.9', '-9')], '10', '-8')
    expect(causeOf(b, 'yesterday')).toBe('a is 71% of the increase since the day before.')
    expect(partsOf(b, 'week').map((p) => p.campaign_id)).toEqual(['b', 'a'])
    expect(causeOf(b, 'week')).toContain('b is more than the whole decrease since the same day a week ago')
  })
  it('may go against it, be no campaign, or not be there', () => {
    expect(causeOf(burn([part('a', '-6'), part('b', '4'), part('c', '3')], '1'), 'yesterday')).toContain(
      'a went against the increase',
    )
    expect(causeOf(burn([part('', '5')], '5'), 'yesterday')).toBe(
      'Usage without a campaign is 100% of the increase since the day before.',
    )
    expect(causeOf(burn([part('a', '1'), part('b', '-1')], '0'), 'yesterday')).toContain('As much was used')
    expect(causeOf(burn([], '0'), 'yesterday')).toBe('Nothing was used in the last eight days.')
  })
})
