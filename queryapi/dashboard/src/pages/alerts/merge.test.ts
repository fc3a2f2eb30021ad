import { expect, it } from 'vitest'
import { draftOf } from './draft'
import { merged, mergedWords } from './merge'

const rule = {
  kind: 'balance_below' as const,
  name: 'Low',
  enabled: true,
  params: { percent: 10, for: 0, hysteresis: 10 },
  webhooks: [{ url: 'https://a.example/', format: 'standard' as const }],
}
const base = draftOf(rule)

it('keeps what was edited and takes what others changed', () => {
  const mine = { ...draftOf(rule), name: 'Mine', held: '5' }
  const theirs = draftOf({
    ...rule,
    enabled: false,
    webhooks: [...rule.webhooks, { url: 'https://b.example/', format: 'slack' }],
  })
  const { draft, taken, kept } = merged(base, mine, theirs)
  expect(draft).toMatchObject({ name: 'Mine', held: '5', enabled: false, percent: '10' })
  expect(draft.hooks.map(({ url }) => url)).toEqual(['https://a.example/', 'https://b.example/'])
  expect({ taken, kept }).toEqual({ taken: ['whether it is enabled', 'the webhooks'], kept: [] })
})

it('lets what was edited stand where both changed it, and says so', () => {
  const theirs = draftOf({ ...rule, name: 'Theirs', params: { credits: '500', for: 0, hysteresis: 10 } })
  const { draft, taken, kept } = merged(base, { ...draftOf(rule), name: 'Mine', percent: '20' }, theirs)
  // An amount is one thing: 20 % of theirs would be nobody's.
  expect(draft).toMatchObject({ name: 'Mine', unit: 'percent', percent: '20' })
  expect(mergedWords({ taken, kept })).toBe(
    'The rule is as others left it, with your edits. Changed by both, so that yours will replace theirs: the name and the threshold.',
  )
})

it('takes another kind with all its figures, or none of them', () => {
  const theirs = draftOf({ ...rule, kind: 'runway_below', params: { days: 3, for: 0, hysteresis: 10 } })
  expect(merged(base, { ...draftOf(rule), name: 'Mine' }, theirs).draft).toMatchObject({
    kind: 'runway_below',
    days: '3',
    name: 'Mine',
  })
  expect(merged(base, { ...draftOf(rule), percent: '20' }, theirs)).toMatchObject({
    draft: { kind: 'balance_below', percent: '20' },
    kept: ['what is watched'],
  })
})

it('is no conflict where both did the same, or nothing', () => {
  const same = { ...draftOf(rule), name: 'Same' }
  expect(merged(base, same, draftOf({ ...rule, name: 'Same' }))).toEqual({ draft: same, taken: [], kept: [] })
  expect(merged(base, draftOf(rule), draftOf(rule))).toMatchObject({ taken: [], kept: [] })
})
