import { expect, it } from 'vitest'
import { ApiError } from '../../api/client'
import { checked, draftOf, errorsOf, newDraft, numberText, otherKind, wrongUrl } from './draft'
import { newKinds } from './words'

it('begins every kind with figures that the API takes', () => {
  for (const kind of newKinds) expect([kind, checked(newDraft(kind)).errors]).toEqual([kind, {}])
  expect(checked(newDraft('quota_used')).request).toEqual({
    kind: 'quota_used',
    name: 'A campaign has used its quota',
    enabled: true,
    params: { percent: 90, for: 0, hysteresis: 10 },
    webhooks: [],
  })
})

it('writes a rule as it was read', () => {
  const rules = [
    { kind: 'balance_below' as const, params: { credits: '12.5', for: 0, hysteresis: 10 } },
    { kind: 'burn_rate' as const, params: { windows: [{ long: '6h', short: '30m', factor: 6 }], for: 0, hysteresis: 5 } },
    { kind: 'burn_rate' as const, params: { for: 0, hysteresis: 10 } },
    { kind: 'quota_projected' as const, params: { percent: 99.5, campaign_id: 'c1', for: 15, hysteresis: 10 } },
    { kind: 'burn_spike' as const, params: { factor: 2, window: '90m', percent: 1, for: 5, hysteresis: 0 } },
    { kind: 'freshness' as const, params: {} },
  ]
  for (const { kind, params } of rules) {
    const rule = { kind, params, name: 'n', enabled: false, webhooks: [{ url: 'https://x.example/h', format: 'slack' as const }] }
    expect(checked(draftOf(rule))).toEqual({ request: rule, errors: {} })
  }
})

it('takes numbers as people type them, but none that may be two', () => {
  expect(['10', ' 1 000 ', '1,5', '1.5'].map(numberText)).toEqual(['10', '1000', '1.5', '1.5'])
  expect(['', '-1', '1,000', '1,000.5', '1e3', 'ten', '1.1234567'].map(numberText)).toEqual(Array(7).fill(null))
})

it('says beside each field what is wrong', () => {
  const wrong = { ...newDraft('balance_below'), name: ' ', percent: '100.5', held: '1.5', hysteresis: '91' }
  expect(Object.keys(checked(wrong).errors).sort()).toEqual(['name', 'params.for', 'params.hysteresis', 'params.percent'])
  const credits = { ...newDraft('expiring_unused'), unit: 'credits' as const, credits: '1,000', days: '0' }
  expect(Object.keys(checked(credits).errors).sort()).toEqual(['params.credits', 'params.days'])
  const windows = { ...newDraft('burn_rate'), windows: [{ key: 1, long: '1h', short: '60m', factor: '0' }] }
  expect(Object.keys(checked(windows).errors).sort()).toEqual(['params.windows[0].factor', 'params.windows[0].short'])
  const hooks = { ...newDraft('runway_below'), hooks: [{ key: 1, url: 'ftp://x', format: 'slack' as const }] }
  expect(Object.keys(checked(hooks).errors)).toEqual(['webhooks[0].url'])
})

it('keeps a name that somebody gave when the kind changes', () => {
  const draft = newDraft('balance_below')
  expect(otherKind(draft, 'burn_rate').name).toBe('Credits go faster than they last')
  expect(otherKind({ ...draft, name: 'Mine' }, 'burn_rate').name).toBe('Mine')
})

it('refuses addresses that the API would', () => {
  expect(wrongUrl('https://hooks.example.com/a?b=c')).toBe('')
  for (const url of ['', 'hooks.example.com', 'ftp://x', 'https://a:b@x.example', 'https://x.example/#a']) {
    expect([url, wrongUrl(url) !== '']).toEqual([url, true])
  }
})

it('finds the field that the API means', () => {
  const error = new ApiError(422, 'invalid_parameter', '', '', [
    { location: 'body.params.percent', message: 'want a number above 0' },
    { location: 'body.webhooks[0].url', message: 'want an absolute URL' },
  ])
  expect(errorsOf(error)).toEqual({ 'params.percent': 'Enter a number above 0.', 'webhooks[0].url': 'Enter an absolute URL.' })
})
