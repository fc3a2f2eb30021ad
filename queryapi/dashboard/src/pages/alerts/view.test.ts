import { expect, it } from 'vitest'
import { deliveriesQuery, filtered, incidentsQuery, viewOf, whole } from './view'

const at = (query: string) => viewOf(new URLSearchParams(query))

it('shows what a notification links to', () => {
  expect(at('incident=i1')).toMatchObject({ part: 'incidents', incident: 'i1' })
  expect(at('rule=r1')).toMatchObject({ part: 'rules', rule: 'r1' })
  expect(at('rule=r1&part=incidents').part).toBe('incidents')
})

it('takes what it does not know for not said', () => {
  const view = at('part=x&state=broken&outcome=lost')
  expect(view).toMatchObject({ part: 'incidents', state: null, outcome: null })
  expect(filtered(view)).toBe(false)
})

it('asks the API for what the filters say', () => {
  expect(incidentsQuery(at(`by=r1&campaign=${whole}&open=1`), {})).toEqual({
    rule_id: 'r1',
    subject: '',
    acknowledged: 'false',
  })
  const range = { from: '2026-11-01T00:00:00Z', to: '2026-11-02T00:00:00Z' }
  expect(incidentsQuery(at('campaign=c1'), range)).toEqual({ ...range, subject: 'c1' })
  expect(deliveriesQuery(at('by=r1&outcome=failed&sent=test&campaign=c1'), {})).toEqual({
    rule_id: 'r1',
    outcome: 'failed',
    state: 'test',
  })
})
