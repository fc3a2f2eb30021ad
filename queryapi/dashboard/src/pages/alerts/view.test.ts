import { expect, it } from 'vitest'
import { deliveriesQuery, filtered, incidentsQuery, rangeOf, viewOf, whole } from './view'

const at = (query: string) => viewOf(new URLSearchParams(query))
const now = Date.parse('2026-11-25T22:34:56Z')

it('shows what a notification links to', () => {
  expect(at('incident=i1')).toMatchObject({ part: 'incidents', incident: 'i1' })
  expect(at('rule=r1')).toMatchObject({ part: 'rules', rule: 'r1' })
  expect(at('rule=r1&part=incidents').part).toBe('incidents')
})

it('takes what it does not know for not said', () => {
  const view = at('part=x&state=broken&range=1y&from=2026-13-45&to=yesterday&outcome=lost')
  expect(view).toMatchObject({ part: 'incidents', state: null, range: null, outcome: null, from: '', to: '' })
  expect(filtered(view)).toBe(false)
})

it('begins moving ranges at a whole hour, so that the question stays the same', () => {
  expect(rangeOf(at('range=24h'), 'UTC', now)).toEqual({ from: '2026-11-24T22:00:00.000Z' })
  expect(rangeOf(at('range=24h'), 'UTC', now + 60_000)).toEqual(rangeOf(at('range=24h'), 'UTC', now))
})

it('takes days as those of the zone, the last one whole', () => {
  expect(rangeOf(at('from=2026-10-25&to=2026-10-25'), 'Europe/Berlin', now)).toEqual({
    from: '2026-10-24T22:00:00.000Z',
    to: '2026-10-25T23:00:00.000Z',
  })
})

it('asks the API for what the filters say', () => {
  expect(incidentsQuery(at(`by=r1&campaign=${whole}&open=1`), 'UTC', now)).toEqual({
    rule_id: 'r1',
    subject: '',
    acknowledged: 'false',
  })
  expect(incidentsQuery(at('campaign=c1'), 'UTC', now)).toEqual({ subject: 'c1' })
  expect(deliveriesQuery(at('by=r1&outcome=failed&sent=test&campaign=c1'), 'UTC', now)).toEqual({
    rule_id: 'r1',
    outcome: 'failed',
    state: 'test',
  })
})
