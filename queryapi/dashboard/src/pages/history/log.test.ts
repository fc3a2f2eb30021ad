import { describe, expect, it } from 'vitest'
import type { Schemas } from '../../api/client'
import { daysOf, join, one } from './log'

type Item = Schemas['HistoryItem']
type Page = Schemas['History']

const item = (entry_id: string, balance_after: string, more: Partial<Item> = {}) =>
  ({ entry_id, balance_after, at: '2026-11-25T10:00:00Z', credits: '1', change: '-1', events: null, ...more }) as Item
const page = (items: Item[], next_cursor: string | null = null) => ({ items, next_cursor }) as Page
const ids = (p: Page) => p.items.map((i) => i.entry_id)

describe('the newest page upon the list', () => {
  it('puts what is new before what is there', () => {
    const list = page([item('b', '8'), item('a', '9')], 'older')
    const joined = join(list, page([item('c', '7'), item('b', '8')], 'x'))
    expect(ids(joined.page)).toEqual(['c', 'b', 'a'])
    expect(joined).toMatchObject({ seam: 'ok', fresh: 1, page: { next_cursor: 'older' } })
  })

  it('takes a late event in where it belongs', () => {
    const list = page([item('c', '7'), item('a', '9')], 'older')
    expect(ids(join(list, page([item('c', '6'), item('b', '8'), item('a', '9')], 'x')).page)).toEqual(['c', 'b', 'a'])
  })

  it('goes on from its own cursor where it has all rows of the list', () => {
    const list = page([item('b', '8')], 'short')
    expect(join(list, page([item('c', '7'), item('b', '8')], 'long')).page.next_cursor).toBe('long')
  })

  it('ends where the list has ended', () => {
    const list = page([item('b', '8'), item('a', '9')])
    expect(join(list, page([item('c', '7'), item('b', '8'), item('a', '9')], 'x')).page.next_cursor).toBeNull()
  })

  it('begins anew where the two do not meet', () => {
    const joined = join(page([item('a', '9')], 'older'), page([item('d', '6'), item('c', '7')], 'x'))
    expect(joined).toMatchObject({ seam: 'gap', fresh: 2, page: { next_cursor: 'x' } })
    expect(ids(joined.page)).toEqual(['d', 'c'])
  })

  it('knows that rows below have changed by the row in which they meet', () => {
    const list = page([item('b', '8'), item('a', '9')], 'older')
    expect(join(list, page([item('c', '6'), item('b', '7')], 'x')).seam).toBe('restated')
  })

  it('is the whole list if it has no next one', () => {
    const list = page([item('b', '8'), item('gone', '9')], 'older')
    expect(ids(join(list, page([item('b', '8')])).page)).toEqual(['b'])
    expect(ids(join(page([]), page([item('a', '9')], 'x')).page)).toEqual(['a'])
  })

  it('keeps rows that are as they were, and replaces those that are not', () => {
    const list = page([item('today', '8', { events: 3 }), item('a', '9')], 'older')
    const joined = join(list, page([item('today', '7', { events: 4 }), item('a', '9')], 'x'))
    expect(joined.page.items[0]?.events).toBe(4)
    expect(joined.page.items[1]).toBe(list.items[1])
    expect(joined.fresh).toBe(0)
  })
})

it('one page is made of many', () => {
  const pages = [page([item('c', '7')], 'x'), page([item('b', '8')], 'y')]
  expect(one(pages)).toMatchObject({ next_cursor: 'y', items: [{ entry_id: 'c' }, { entry_id: 'b' }] })
  expect(one([])).toBeUndefined()
})

it('days are cut where the local day changes', () => {
  const items = [
    item('c', '7', { at: '2026-11-25T04:59:00Z' }),
    item('b', '8', { at: '2026-11-24T23:00:00Z' }),
    item('a', '9', { at: '2026-11-23T00:00:00Z' }),
  ]
  const days = daysOf(items, (at) => at.slice(0, 10))
  expect(days.map((d) => [d.day, d.items.length])).toEqual([
    ['2026-11-25', 1],
    ['2026-11-24', 1],
    ['2026-11-23', 1],
  ])
  expect(daysOf(items, () => 'same')).toHaveLength(1)
})
