import { expect, it } from 'vitest'
import { leading, placeOf } from './router'

const from = (query: string, path = '/w/a/settings/credits') => ({ path, query: new URLSearchParams(query) })

it('leads on in the zone and the range that are looked at, and leaves all else', () => {
  expect(leading(from('zone=utc&preset=last_7_days&group=action&campaign=c'), '/w/a/settings/credits/history')).toBe(
    '/w/a/settings/credits/history?zone=utc&preset=last_7_days',
  )
  expect(leading(from('from=2026-11-01&to=2026-11-02'), '/w/a/campaigns/c')).toBe(
    '/w/a/campaigns/c?from=2026-11-01&to=2026-11-02',
  )
  expect(leading(from(''), '/w/a/campaigns')).toBe('/w/a/campaigns')
})

it('has one range: that of the link is more than that of the screen', () => {
  expect(leading(from('zone=browser&preset=today'), '/w/a/campaigns?preset=all&view=events')).toBe(
    '/w/a/campaigns?zone=browser&preset=all&view=events',
  )
})

it('leaves behind what not every screen can show', () => {
  expect(leading(from('from=2026-11-01'), '/x')).toBe('/x')
  expect(leading(from('preset=all&zone=utc'), '/x')).toBe('/x?zone=utc')
})

it('is the link itself within a screen', () => {
  expect(leading(from('zone=utc&preset=today'), '/w/a/settings/credits?group=none')).toBe('/w/a/settings/credits?group=none')
})

it('keeps what is asked for with a question mark in it', () => {
  expect(placeOf('/w/a/campaigns?q=why?&sort=name').query.get('q')).toBe('why?')
  expect(placeOf('/w/a/campaigns?q=why?&sort=name').query.get('sort')).toBe('name')
  expect(placeOf('/')).toMatchObject({ path: '/' })
  expect(leading(from('', '/x'), '/w/a/campaigns?q=why?&sort=name')).toBe('/w/a/campaigns?q=why%3F&sort=name')
})
