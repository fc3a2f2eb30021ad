import { describe, expect, it, vi } from 'vitest'
import type { Schemas } from '../../api/client'
import { titlesOf, toneOf, whenOf } from './words'

vi.stubGlobal('navigator', { languages: ['en-GB'] })

type Item = Schemas['HistoryItem']
const item = (fields: Partial<Item>) =>
  ({
    type: 'consumption',
    at: '2026-11-25T10:00:05Z',
    from: null,
    to: null,
    note: null,
    grant_id: null,
    campaign_id: null,
    action: null,
    events: null,
    credits: '1',
    change: '-1',
    ...fields,
  }) as Item

describe('when', () => {
  const now = Date.parse('2026-11-25T12:00:00Z')
  const when = (from: string, to: string) => whenOf(item({ from, to }), 'UTC', now)

  it('is a time for what is one instant', () => {
    expect(whenOf(item({}), 'Asia/Kolkata', now)).toBe('15:30:05')
  })
  it('says which part of its day usage is of', () => {
    expect(when('2026-11-24T00:00:00Z', '2026-11-25T00:00:00Z')).toBe('All day')
    expect(when('2026-11-25T00:00:00Z', '2026-11-26T00:00:00Z')).toBe('So far')
    expect(when('2026-11-24T14:05:00Z', '2026-11-25T00:00:00Z')).toBe('From 14:05')
    expect(when('2026-11-24T00:00:00Z', '2026-11-24T14:05:00Z')).toBe('Until 14:05')
    expect(when('2026-11-24T09:00:00Z', '2026-11-24T14:05:00Z')).toBe('09:00–14:05')
  })
})

describe('what', () => {
  const name = (id: string) => (id === 'cmp_1' ? 'Webinar' : id)

  it('names campaigns, and what is of none', () => {
    expect(titlesOf(item({ campaign_id: 'cmp_1', events: 1 }), name)).toEqual({
      main: 'Webinar',
      more: '1 event',
      campaign: true,
    })
    expect(titlesOf(item({ campaign_id: '', action: 'enrichment' }), name)).toEqual({
      main: 'Unattributed',
      more: 'enrichment',
      campaign: false,
    })
  })
  it('calls a refund one', () => {
    expect(titlesOf(item({ campaign_id: 'cmp_1', credits: '-1', action: 'enrichment' }), name).more).toBe('Refund, enrichment')
  })
  it('says why an adjustment was made, else of what', () => {
    expect(titlesOf(item({ type: 'adjustment', note: 'Thanks', grant_id: 'g1' }), name)).toMatchObject({
      main: 'Thanks',
      more: 'g1',
    })
    expect(titlesOf(item({ type: 'adjustment' }), name)).toMatchObject({ main: 'Of the workspace', more: '' })
  })
})

it('the colour tells what came, what was used, and what was lost', () => {
  expect(toneOf(item({ change: '-1' }))).toBe('plain')
  expect(toneOf(item({ change: '2.5' }))).toBe('good')
  expect(toneOf(item({ type: 'expiry', change: '-1' }))).toBe('bad')
  expect(toneOf(item({ type: 'void', change: '0' }))).toBe('plain')
})
