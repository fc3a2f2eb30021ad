import { beforeAll, describe, expect, it, vi } from 'vitest'
import type { Schemas } from '../../../api/client'
import { assign, dataOf, otherKey, wholeEnd } from './data'
import { exportUrl } from './exporturl'
import { statusMarks } from './marks'
import { runningOf } from './table'
import { ignoredText, tooMany, viewOf } from './view'
import { deltaOf, outcomeOf, refundsOf } from './words'

beforeAll(() => void vi.stubGlobal('navigator', { languages: ['en-GB'] }))

const point = (hour: number, credits: string, refunds = '0', minutes = 60): Schemas['UsagePoint'] => ({
  start: new Date(hour * 3_600_000).toISOString(),
  end: new Date(hour * 3_600_000 + minutes * 60_000).toISOString(),
  credits,
  refunds,
  events: 1,
  complete: minutes === 60,
})
const usage: Schemas['Usage'] = {
  workspace_id: 'w',
  from: new Date(0).toISOString(),
  to: new Date(4 * 3_600_000).toISOString(),
  bucket: '1h',
  tz: 'UTC',
  group_by: 'campaign',
  total: '10.000001',
  series: [
    { key: 'b', name: 'B', total: '6.000001', points: [point(0, '6.000001', '0.5'), point(1, '0', '0', 30)] },
    { key: '', name: null, total: '3', points: [point(0, '1'), point(1, '2', '0', 30)] },
  ],
  other: { key: '', name: null, total: '1', points: [point(0, '0', '0.25'), point(1, '1', '0', 30)] },
  previous: { total: '8', points: [point(0, '5'), point(1, '3')] },
  forecast: [
    {
      start: new Date(5_400_000).toISOString(),
      end: new Date(7_200_000).toISOString(),
      credits: '4',
      p10: '3',
      p50: '4',
      p90: '5',
    },
    {
      start: new Date(7_200_000).toISOString(),
      end: new Date(14_400_000).toISOString(),
      credits: '6',
      p10: '8',
      p50: '10',
      p90: '13',
    },
  ],
  freshness: { at: '', watermark: '', lag_seconds: 0 },
  revision: 1,
}
const names = { unattributed: 'Unattributed', all: 'All', other: 'Other' }

describe('the address', () => {
  const of = (query: string) => viewOf(new URLSearchParams(query))
  it('says how usage is looked at', () => {
    expect(of('bucket=1d&group=none&view=cumulative&compare=previous&campaign=~&table=1')).toEqual({
      bucket: '1d',
      group: 'none',
      look: 'cumulative',
      compare: true,
      table: true,
      campaign: '',
      ignored: [],
    })
    expect(of('campaign=cmp_1').campaign).toBe('cmp_1')
  })
  it('with nonsense shows the usual and says so', () => {
    const view = of('bucket=2h&group=x&view=pie&compare=1&table=yes&campaign=%3Cscript%3E&zone=mars')
    expect(view).toEqual({ ...of(''), ignored: ['zone', 'campaign', 'bucket', 'group', 'view', 'compare', 'table'] })
    expect(ignoredText(view.ignored)).toContain('the bucket')
    expect(ignoredText([])).toBeNull()
  })
  it('may not ask for more points than the API gives', () => {
    const from = '2026-11-01T00:00:00Z'
    expect(tooMany('1m', from, '2026-11-02T09:20:00Z')).toBe(false)
    expect(tooMany('1m', from, '2026-11-02T09:21:00Z')).toBe(true)
    expect(tooMany('auto', from, '2036-11-02T09:21:00Z')).toBe(false)
  })
})

describe('the chart of an answer', () => {
  const tones = assign(new Map(), ['b', ''], true)
  const data = dataOf(usage, tones, names, [{ at: -1, kind: 'grant', text: 'before' }], true)
  it('has every series with its name, what is past the top last', () => {
    expect(data.series.map(({ key, name, tone }) => [key, name, tone])).toEqual([
      ['b', 'B', 1],
      ['', 'Unattributed', 'none'],
      [otherKey, 'Other', 'other'],
    ])
    expect(data.marks).toEqual([])
  })
  it('draws the bucket under way to its end, and knows where usage ends', () => {
    expect(data.now).toBe(5_400_000)
    expect(data.buckets.at(-1)).toEqual({ start: 3_600_000, end: 7_200_000, complete: false })
  })
  it('parts the range of the sum among buckets', () => {
    expect(data.ahead.map(({ low, value, high }) => [low, value, high])).toEqual([
      [3, 4, 5],
      [5, 6, 8],
    ])
  })
  it('knows where a day ends that is not 24 hours long', () => {
    const at = (text: string) => Date.parse(text)
    const day = { bucket: '1d' as const, tz: 'America/New_York', forecast: [] }
    expect(wholeEnd(at('2026-11-01T04:00:00Z'), at('2026-11-01T09:00:00Z'), day, at('2027-01-01T00:00:00Z'))).toBe(
      at('2026-11-02T05:00:00Z'),
    )
  })
  it('keeps colours while series come, go and change places', () => {
    const first = assign(new Map(), ['a', 'b', ''], true)
    const then = assign(first, ['c', 'b', '', 'd'], true)
    expect([...then]).toEqual([
      ['b', 2],
      ['c', 1],
      ['d', 3],
      ['', 'none'],
    ])
    expect([...assign(new Map(), [''], false)]).toEqual([['', 1]])
  })
})

describe('the words', () => {
  it('tell the difference exactly', () => {
    expect(deltaOf(usage)?.text).toBe('2.000001 more (+25%) than in the same time before')
    expect(deltaOf({ ...usage, total: '6' })?.text).toBe('2 fewer (-25%) than in the same time before')
    expect(deltaOf({ ...usage, total: '8.000000' })?.way).toBe('same')
    expect(deltaOf({ ...usage, previous: { total: '0', points: [point(0, '0')] } })?.text).toBe(
      'Nothing was used in the same time before',
    )
    expect(deltaOf({ ...usage, previous: null })).toBeNull()
    expect(refundsOf(usage)).toBe('0.75')
  })
  it('tell what it comes to, and warn of more than remains', () => {
    expect(outcomeOf(usage, '10', 'UTC')).toEqual({ text: 'Forecast to 1 Jan 1970: 20 (18 to 23)', warning: null })
    expect(outcomeOf(usage, '9', 'UTC')?.warning).toContain('more than remain now')
    expect(outcomeOf(usage, '-3', 'UTC')?.warning).toBe('At this rate 10 more credits are used by 1 Jan 1970, and none remain.')
    expect(outcomeOf(usage, null, 'UTC')?.warning).toBeNull()
    expect(outcomeOf({ ...usage, forecast: [] }, '9', 'UTC')).toBeNull()
  })
  it('tell when campaigns were started and paused', () => {
    const changes = ['DRAFT', 'ACTIVE', 'PAUSED'].map((status, i) => ({ at: new Date(i).toISOString(), status }))
    expect(statusMarks(changes as Schemas['StatusChange'][], 'B').map((mark) => mark.text)).toEqual(['Started: B', 'Paused: B'])
  })
  it('add up exactly', () => {
    expect(runningOf(['0.1', '0.2', '-0.3', '900719925474.099101'])).toEqual(['0.1', '0.3', '0', '900719925474.099101'])
  })
})

it('a file has the range, the bucket and the zone; only events are of one campaign', () => {
  const range = { from: '2026-11-01T00:00:00Z', to: '2026-11-02T00:00:00Z', bucket: '1w' as const }
  const usageFile = new URL(exportUrl('a b', 'usage-parquet', range, 'Asia/Kolkata', 'c'), 'http://x')
  expect(usageFile.pathname).toBe('/v1/workspaces/a%20b/export')
  expect(Object.fromEntries(usageFile.searchParams)).toEqual({
    dataset: 'usage',
    format: 'parquet',
    from: range.from,
    to: range.to,
    bucket: '1d',
    tz: 'Asia/Kolkata',
  })
  expect(exportUrl('w', 'events-csv', range, 'UTC', '')).toContain('dataset=events&format=csv')
  expect(exportUrl('w', 'events-csv', range, 'UTC', '')).toContain('campaign_id=')
})
