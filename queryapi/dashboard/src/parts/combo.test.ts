import { expect, it } from 'vitest'
import { found, moved, type Option } from './combo'

const options: Option[] = [
  { key: '*', text: 'All campaigns' },
  { key: 'cmp_1', text: 'Ürün Tanıtımı', also: 'cmp_1' },
  { key: 'cmp_2', text: 'Webinar', also: 'cmp_2' },
]

it('what is typed is found in names and ids, in any case', () => {
  expect(found(options, '')).toHaveLength(3)
  expect(found(options, ' WEB ').map((o) => o.key)).toEqual(['cmp_2'])
  expect(found(options, 'cmp_').map((o) => o.key)).toEqual(['cmp_1', 'cmp_2'])
  expect(found(options, 'ürün').map((o) => o.key)).toEqual(['cmp_1'])
  expect(found(options, 'nothing')).toEqual([])
})

it('arrows go round, pages stop at the ends', () => {
  expect(moved('ArrowDown', 2, 3)).toBe(0)
  expect(moved('ArrowDown', 0, 3)).toBe(1)
  expect(moved('ArrowUp', 0, 3)).toBe(2)
  expect(moved('PageDown', 0, 30)).toBe(8)
  expect(moved('PageDown', 28, 30)).toBe(29)
  expect(moved('PageUp', 3, 30)).toBe(0)
  expect(moved('a', 1, 3)).toBeNull()
})
