import { expect, it } from 'vitest'
import { balanceLevels, labelled, quotaLevels, usedLevels } from './levels'

const rule = (name: string, kind: 'balance_below' | 'quota_used' | 'runway_below', params: object, enabled = true) => ({
  name,
  kind,
  enabled,
  params: params as { percent: number },
})

it('are where the balance is when a rule fires', () => {
  const rules = [
    rule('Low', 'balance_below', { percent: 10 }),
    rule('Nearly out', 'balance_below', { credits: '12.5' }),
    rule('Off', 'balance_below', { percent: 50 }, false),
    rule('Soon', 'runway_below', { days: 3 }),
  ]
  expect(balanceLevels(rules, '1000')).toEqual([
    { name: 'Alert: Low', value: 100 },
    { name: 'Alert: Nearly out', value: 12.5 },
  ])
  // 600 are used and 250 are left, of which 100 are left when 750 are used. Adjustments made 150 of the 1,000 go.
  expect(usedLevels(rules, '600', { remaining: '250', allocated: '1000' })).toEqual([
    { name: 'Alert: Low', value: 750 },
    { name: 'Alert: Nearly out', value: 837.5 },
  ])
  expect(usedLevels(rules, '0', { remaining: '50', allocated: '1000' })).toEqual([{ name: 'Alert: Nearly out', value: 37.5 }])
})

it('are of the campaign, and one where they are the same figure', () => {
  const rules = [
    rule('Most of it', 'quota_used', { percent: 80 }),
    rule('All of it', 'quota_used', { percent: 100, campaign_id: 'c' }),
    rule('Of another', 'quota_used', { percent: 50, campaign_id: 'd' }),
  ]
  expect(quotaLevels(rules, '500', 'c')).toEqual([
    { name: 'Quota. Alert: All of it', value: 500 },
    { name: 'Alert: Most of it', value: 400 },
  ])
  expect(quotaLevels(rules, null, 'c')).toEqual([])
})

it('are labelled where no label touches another', () => {
  const levels = [0, 90, 95, 100].map((value) => ({ name: `${value}`, value }))
  expect(labelled(levels, (value) => 200 - value)).toEqual([
    { name: '100', value: 100, at: 100, label: 96 },
    { name: '95', value: 95, at: 105, label: 116 },
    { name: '90', value: 90, at: 110, label: 129 },
    { name: '0', value: 0, at: 200, label: 196 },
  ])
})
