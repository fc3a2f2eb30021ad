import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sum } from '../../credits'
import { chunksOf } from './chunk'
import { campaignsCsv, fileName } from './export'
import { listOf, queryOf, sorted, viewOf } from './view'
import { bandOf, type Campaign, type Campaigns, projectedPercent, quotaNote, restLabel, sharePercent } from './words'

beforeEach(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }))
afterEach(() => void vi.unstubAllGlobals())

const campaign = (change: Partial<Campaign> = {}): Campaign => ({
  campaign_id: 'cmp_1',
  name: 'One',
  status: 'ACTIVE',
  quota: '200',
  quota_used: '50',
  quota_used_percent: 25,
  used: '12.5',
  projected: { p10: '90', p50: '100', p90: '120', at: '2026-12-30T00:00:00Z', method: 'seasonal' },
  quota_exhausts_at: null,
  last_event_at: null,
  ...change,
})

const page = (items: Campaign[], change: Partial<Campaigns> = {}): Campaigns => ({
  workspace_id: 'acme',
  from: '2026-11-13T00:00:00Z',
  to: '2026-12-13T00:00:00Z',
  items,
  next_cursor: null,
  unattributed: { used: '0.000001', events: 1 },
  total: { used: '25.000001', events: 3 },
  freshness: { at: '2026-11-25T00:00:00Z', watermark: '2026-11-25T00:00:00Z', lag_seconds: 0 },
  revision: 1,
  ...change,
})

describe('the view in the address', () => {
  const view = (text: string) => viewOf(new URLSearchParams(text))
  it('has a default for everything, and for what makes no sense', () => {
    const plain = { q: '', status: null, sort: 'used', order: 'desc' }
    expect(view('')).toEqual(plain)
    expect(view('sort=colour&order=up&status=GONE')).toEqual(plain)
    expect(view('sort=name')).toEqual({ ...plain, sort: 'name', order: 'asc' })
    expect(view('sort=name&order=desc&status=PAUSED&q=lead')).toEqual({
      q: 'lead',
      status: 'PAUSED',
      sort: 'name',
      order: 'desc',
    })
  })
  it('turns the order of the column that is pressed, and starts others with their first', () => {
    const at = new URLSearchParams()
    const press = (sort: Parameters<typeof sorted>[1]) => {
      for (const [key, value] of Object.entries(sorted(viewOf(at), sort))) value === null ? at.delete(key) : at.set(key, value)
      return `${viewOf(at).sort} ${viewOf(at).order}`
    }
    expect(press('used')).toBe('used asc')
    expect(press('used')).toBe('used desc')
    expect(at.toString()).toBe('')
    expect(press('name')).toBe('name asc')
    expect(press('name')).toBe('name desc')
    expect(press('quota')).toBe('quota desc')
  })
  it('asks the API for no more than it says', () => {
    expect(queryOf(view('status=DRAFT&q=a'), { from: 'f', to: 't' })).toEqual({
      from: 'f',
      to: 't',
      sort: 'used',
      order: 'desc',
      q: 'a',
      status: 'DRAFT',
    })
    expect(queryOf(view(''), {})).toEqual({ sort: 'used', order: 'desc' })
  })
})

describe('pages put together', () => {
  it('have a campaign once, and what no campaign used in a row of its own', () => {
    const list = listOf([
      page([campaign(), campaign({ campaign_id: 'cmp_2' })], { next_cursor: 'x' }),
      page([campaign({ campaign_id: 'cmp_2' }), campaign({ campaign_id: '' }), campaign({ campaign_id: 'cmp_3' })]),
    ])
    expect(list?.items.map((c) => c.campaign_id)).toEqual(['cmp_1', 'cmp_2', 'cmp_3'])
    expect(list?.whole).toBe(true)
    expect(listOf([page([], { next_cursor: 'x' })])?.whole).toBe(false)
    expect(listOf([])).toBeUndefined()
  })
})

it('chunks are the list in its order, none empty', () => {
  const list = Array.from({ length: 250 }, (_, i) => i)
  expect(chunksOf(list).map((chunk) => chunk.length)).toEqual([100, 100, 50])
  expect(chunksOf(list).flat()).toEqual(list)
  expect(chunksOf([])).toEqual([])
})

describe('words', () => {
  it('say what becomes of a quota', () => {
    expect(quotaNote(campaign({ quota: null, quota_used_percent: null }), 'UTC')).toBeNull()
    expect(quotaNote(campaign({ quota_used_percent: 343.5 }), 'UTC')?.text).toBe('Over its quota')
    // Reached is what is over: an instant that is past says nothing then.
    expect(quotaNote(campaign({ quota_used_percent: 100, quota_exhausts_at: '2026-11-25T00:00:00Z' }), 'UTC')?.text).toBe(
      'Quota used up',
    )
    expect(quotaNote(campaign({ quota_exhausts_at: '2026-12-08T21:51:00Z' }), 'Asia/Tokyo')?.text).toBe('Reached on 9 Dec 2026')
  })
  it('know no projection without a forecast or a quota', () => {
    expect(projectedPercent(campaign())).toBe(50)
    expect(projectedPercent(campaign({ quota: null }))).toBeNull()
    expect(projectedPercent(campaign({ quota: '0' }))).toBeNull()
    const none = { p10: null, p50: null, p90: null, at: null, method: 'insufficient_data' as const }
    expect(projectedPercent(campaign({ projected: none }))).toBeNull()
    expect(bandOf(none)).toBeNull()
    expect(bandOf({ ...none, p10: '9000', p90: '12000.4' })).toBe('9,000 to 12,000')
    expect(bandOf({ ...none, p10: '10.1', p90: '10.2' })).toBeNull()
  })
  it('never round a part to nothing or to everything', () => {
    expect(sharePercent(0)).toBe('0%')
    expect(sharePercent(0.0001)).toBe('< 0.1%')
    expect(sharePercent(-0.001, true)).toBe('> -0.1%')
    expect(sharePercent(99.97)).toBe('99.9%')
    expect(sharePercent(100)).toBe('100%')
    expect(sharePercent(16, true)).toBe('16.0%')
    expect(sharePercent(343.52)).toBe('343.5%')
    expect(sharePercent(12345.6)).toBe('12,346%')
    expect(sharePercent(-3)).toBe('-3%')
  })
  it('name what is in the total alone', () => {
    expect(restLabel({ filtered: false, whole: false })).toBe('Campaigns further down')
    expect(restLabel({ filtered: true, whole: true })).toBe('Campaigns that are filtered out')
  })
})

describe('the export', () => {
  const text = campaignsCsv([page([campaign(), campaign({ campaign_id: 'cmp_2', name: '=HYPERLINK("x")', quota: null })])])
  const lines = text.trim().split('\r\n')
  it('has exact amounts that add up to the total', () => {
    const used = lines.slice(1).map((line) => /,(?:ACTIVE)?,([\d.]+),/.exec(line)?.[1] ?? '')
    expect(used).toEqual(['12.5', '12.5', '0.000001'])
    expect(sum(used)).toBe('25.000001')
  })
  it('runs nothing in a spreadsheet, and has as many cells in every row', () => {
    expect(lines[2]).toContain('"\'=HYPERLINK(""x"")"')
    expect([lines[0], lines[1], lines[3]].map((line) => line?.split(',').length)).toEqual([15, 15, 15])
    expect(fileName('a:b', page([]))).toBe('campaigns_a-b_2026-11-13_2026-12-13.csv')
  })
})
