import { afterEach, describe, expect, it, vi } from 'vitest'
import { amount, locale } from './format'
import { browserZone, zoneOr } from './shell/zone'

const languages = (...names: string[]) => vi.stubGlobal('navigator', { languages: names })
afterEach(() => vi.unstubAllGlobals())

describe('the language of figures', () => {
  it('is the first that can be used, whatever the system calls its own', () => {
    languages('en-US@posix', 'C', '', 'de-DE', 'en')
    expect(locale()).toBe('de-DE')
    expect(amount('1234.5')).toBe('1.234,5')
    languages('en_US')
    expect(locale()).toBe('en')
    languages()
    expect(locale()).toBe('en')
  })
  it('changes no digit, however many there are', () => {
    languages('en-US')
    expect(amount('-170141183460469231731.687303')).toBe('-170,141,183,460,469,231,731.687303')
  })
})

describe('a zone that the browser does not know', () => {
  it.each(['Factory', 'posix/Europe/Berlin', 'Local', '', null, undefined])('is UTC: %j', (zone) => {
    expect(zoneOr(zone)).toBe('UTC')
  })
  it('is UTC for a device that does not know where it is', () => {
    vi.spyOn(Intl.DateTimeFormat.prototype, 'resolvedOptions').mockReturnValue({
      timeZone: 'Etc/Unknown',
    } as Intl.ResolvedDateTimeFormatOptions)
    expect(browserZone()).toBe('UTC')
    vi.restoreAllMocks()
  })
  it('takes nothing from those that it knows', () => {
    for (const zone of ['America/New_York', 'Asia/Kolkata', 'UTC']) expect(zoneOr(zone)).toBe(zone)
  })
})
