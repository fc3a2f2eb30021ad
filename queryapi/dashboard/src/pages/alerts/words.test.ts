import { beforeAll, describe, expect, it, vi } from 'vitest'
import type { Attempt } from '../../api/alerts'
import {
  deliveriesWords,
  dryRunSentence,
  figureWords,
  headline,
  latestByDestination,
  minutesWords,
  ruleSentence,
  tested,
  timesOf,
  windowMinutes,
} from './words'

beforeAll(() => vi.stubGlobal('navigator', { languages: ['en-GB'] }))

describe('ruleSentence', () => {
  it('says what each kind waits for', () => {
    expect(ruleSentence('balance_below', { percent: 10, for: 0 })).toBe('When 10% of the allocated credits or less is left')
    expect(ruleSentence('balance_below', { credits: '0' })).toBe('When no credits are left')
    expect(ruleSentence('balance_below', { credits: '5000.5' })).toBe('When 5,000.5 credits or fewer are left')
    expect(ruleSentence('runway_below', { days: 1, for: 15 })).toBe(
      'When the credits will run out within 1 day, and stays so for 15 minutes',
    )
    expect(ruleSentence('expiring_unused', { days: 14, percent: 1, for: 60 })).toBe(
      'When 1% of the allocated credits or more will expire unused within 14 days, and stays so for 1 hour',
    )
    expect(ruleSentence('burn_spike', { factor: 3, window: '1h', percent: 1 })).toBe(
      'When 1 hour uses 3 times what is usual, and 1% of the allocated credits or more',
    )
    expect(ruleSentence('burn_rate', {})).toBe('When credits go so fast that they end well before they expire')
    expect(ruleSentence('burn_rate', { windows: [{ long: '6h', short: '30m', factor: 2.5 }] })).toBe(
      'When credits go faster than they last: 2.5 times over 6 hours and over the last 30 minutes',
    )
    expect(ruleSentence('freshness', { for: 5 })).toBe('When counting has stood still for a minute')
  })
  it('names a campaign as it is called', () => {
    expect(ruleSentence('quota_used', { percent: 90 })).toBe('When a campaign has used 90% of its quota or more')
    expect(ruleSentence('quota_used', { percent: 90, campaign_id: 'c1' }, () => 'Spring')).toBe(
      'When campaign Spring has used 90% of its quota or more',
    )
  })
})

it('writes minutes in the largest whole unit', () => {
  expect([1, 15, 60, 90, 120, 1440, 4320].map(minutesWords)).toEqual([
    '1 minute',
    '15 minutes',
    '1 hour',
    '90 minutes',
    '2 hours',
    '1 day',
    '3 days',
  ])
  expect([windowMinutes('90m'), windowMinutes('3d'), windowMinutes('3w')]).toEqual([90, 4320, null])
})

it('tells when an incident fired and for how long it has been so', () => {
  const change = (state: 'pending' | 'firing' | 'resolved', at: string) => ({
    state,
    at,
    recorded_at: at,
    message: '',
    detail: {},
  })
  const began_at = '2026-11-25T10:00:00Z'
  const open = { began_at, changes: [change('pending', began_at), change('firing', '2026-11-25T10:15:00Z')] }
  const now = Date.parse('2026-11-25T12:00:00Z')
  expect(timesOf(open, now)).toEqual({ firedAt: '2026-11-25T10:15:00Z', resolvedAt: null, seconds: 7200 })
  const over = { began_at, changes: [...open.changes, change('resolved', '2026-11-25T11:00:00Z')] }
  expect(timesOf(over, now)).toMatchObject({ resolvedAt: '2026-11-25T11:00:00Z', seconds: 3600 })
})

it('keeps saying what a resolved incident was about', () => {
  const change = (state: 'firing' | 'resolved', message: string) => ({ state, message, at: '', recorded_at: '', detail: {} })
  const changes = [change('firing', 'Little is left'), change('resolved', 'The rule was deleted')]
  expect(headline({ state: 'firing', message: 'Little is left', changes: changes.slice(0, 1) })).toEqual({
    title: 'Little is left',
    over: null,
  })
  expect(headline({ state: 'resolved', message: 'The rule was deleted', changes })).toEqual({
    title: 'Little is left',
    over: 'The rule was deleted',
  })
})

it('says how often a dry run fired', () => {
  const over = { from: '2026-10-26T22:30:00Z', to: '2026-11-25T22:30:00Z' }
  expect([0, 1, 1200].map((fired) => dryRunSentence({ ...over, fired }))).toEqual([
    'Would not have fired in the last 30 days',
    'Would have fired once in the last 30 days',
    'Would have fired 1,200 times in the last 30 days',
  ])
})

it('counts messages by what became of them', () => {
  const none = { delivered: 0, retrying: 0, failed: 0, refused: 0, disabled: 0, silenced: 0 }
  expect(deliveriesWords(none)).toBe('No webhooks told')
  expect(deliveriesWords({ ...none, delivered: 2, failed: 1 })).toBe('2 delivered, 1 failed')
})

it('knows when a test message has been tried everywhere', () => {
  const item = (destination: string, outcome: Attempt['outcome']) => ({ destination, outcome }) as Attempt
  const items = [item('b', 'failed'), item('a', 'retrying'), item('b', 'retrying')]
  expect(tested(items, 2)).toBe(false)
  expect(latestByDestination(items).map((i) => [i.destination, i.outcome])).toEqual([
    ['a', 'retrying'],
    ['b', 'failed'],
  ])
  expect(tested([item('a', 'delivered'), ...items], 2)).toBe(true)
})

it('writes figures with their unit', () => {
  expect(figureWords('135.3873', 'percent')).toBe('135.39%')
  expect(figureWords('27080.718468', 'credits')).toBe('27,080.718468 credits')
  expect(figureWords('1.0514', 'days')).toBe('1.05 days')
  expect(figureWords('12', 'credits per hour')).toBe('12 credits per hour')
})
