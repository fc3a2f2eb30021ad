import { expect, it } from 'vitest'
import type { DryRun } from '../../api/alerts'
import { stripOf } from './strip'

const range = { from: '2026-11-01T00:00:00Z', to: '2026-11-11T00:00:00Z' }
const item = (fired_at: string, resolved_at: string | null) => ({ fired_at, resolved_at }) as DryRun['items'][number]

it('draws what fired where it fired', () => {
  const items = [item('2026-11-02T00:00:00Z', '2026-11-03T00:00:00Z'), item('2026-11-06T00:00:00Z', null)]
  expect(stripOf({ ...range, items })).toEqual([
    { from: 10, to: 20 },
    { from: 50, to: 100 },
  ])
})

it('draws what overlaps or touches once, in any order', () => {
  const items = [
    item('2026-11-04T00:00:00Z', '2026-11-05T00:00:00Z'),
    item('2026-11-02T00:00:00Z', '2026-11-04T00:00:00Z'),
    item('2026-11-03T00:00:00Z', '2026-11-03T12:00:00Z'),
  ]
  expect(stripOf({ ...range, items })).toEqual([{ from: 10, to: 40 }])
})

it('keeps what was short in sight, also at the end', () => {
  const [first, last] = stripOf({
    ...range,
    items: [item('2026-11-02T00:00:00Z', '2026-11-02T00:01:00Z'), item('2026-11-11T00:00:00Z', null)],
  })
  expect((first?.to ?? 0) - (first?.from ?? 0)).toBeCloseTo(0.4)
  expect((last?.to ?? 0) - (last?.from ?? 0)).toBeCloseTo(0.4)
  expect(last?.to).toBe(100)
})
