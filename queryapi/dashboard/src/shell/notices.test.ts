import { expect, it } from 'vitest'
import type { Schemas } from '../api/client'
import { announcement, type Notice, noticesAfter } from './notices'

const alert = (incident_id: string, state: 'pending' | 'firing' | 'resolved') =>
  ({ incident_id, state, message: `${incident_id} ${state}`, at: '2026-11-25T10:00:00Z' }) as Schemas['LiveAlert']
const after = (...alerts: Schemas['LiveAlert'][]) => alerts.reduce<Notice[]>(noticesAfter, []).map((notice) => notice.message)

it('says what fires and what is resolved, the newest first', () => {
  expect(after(alert('a', 'pending'), alert('a', 'firing'), alert('b', 'firing'))).toEqual(['b firing', 'a firing'])
})

it('has one notice of each incident', () => {
  expect(after(alert('a', 'firing'), alert('b', 'firing'), alert('a', 'resolved'))).toEqual(['a resolved', 'b firing'])
  expect(after(alert('a', 'firing'), alert('a', 'firing'))).toEqual(['a firing'])
})

it('forgets the oldest when there are very many', () => {
  expect(after(...Array.from({ length: 600 }, (_, i) => alert(`i${i}`, 'firing')))).toHaveLength(500)
})

it('reads a few alerts out in their order, and counts many', () => {
  const of = (n: number) =>
    Array.from({ length: n }, (_, i) => alert(`i${i}`, i === 1 ? 'resolved' : 'firing')).reduce<Notice[]>(noticesAfter, [])
  expect(announcement(of(0))).toBe('')
  expect(announcement(of(2))).toBe('Alert: i0 firing. Alert resolved: i1 resolved.')
  expect(announcement(of(60))).toBe('60 alerts. The last one: Alert: i59 firing.')
})
