import { CalendarDate, fromAbsolute, parseDate, toCalendarDate } from '@internationalized/date'
import { serverNow } from '../../../api/clock'
import type { ProjectionQuery } from '../../../api/queries'

/** What is changed about the future; it stands in the address. */
export type WhatIf = {
  /** Ids of campaigns that use nothing from now on. */
  pause: string[]
  /** Percent of usage as it is. */
  scale: number
  /** Credits that are granted, as typed; empty: none. */
  grant: string
  /** The local day on which those expire; empty: never. */
  expires: string
}

/** keys are the parameters of the address. */
const keys = { open: 'whatif', pause: 'whatif_pause', scale: 'whatif_scale', grant: 'whatif_grant', expires: 'whatif_expires' }

export const nothing: WhatIf = { pause: [], scale: 100, grant: '', expires: '' }

/** mostScale is where the slider ends, in percent. */
export const mostScale = 300

/** idPattern is what the API takes for the id of a campaign (DESIGN section 3). */
const idPattern = /^[A-Za-z0-9._:-]{1,128}$/

/** maxPaused keeps the request within the 8,192 characters that the API takes. */
export const maxPaused = 60

/** isOpen says whether the address asks what if. */
export const isOpen = (query: URLSearchParams) => query.has(keys.open)

/** whatIfOf reads the address; what makes no sense in it is as if it were not there. */
export function whatIfOf(query: URLSearchParams): WhatIf {
  const pause = (query.get(keys.pause) ?? '').split(',').filter((id) => idPattern.test(id))
  const scale = query.get(keys.scale)
  return {
    pause: [...new Set(pause)].slice(0, maxPaused),
    scale: scale !== null && /^\d{1,3}$/.test(scale) ? Math.min(Number(scale), mostScale) : 100,
    grant: query.get(keys.grant) ?? '',
    expires: /^\d{4}-\d{2}-\d{2}$/.test(query.get(keys.expires) ?? '') ? (query.get(keys.expires) ?? '') : '',
  }
}

/** changesOf is a what-if as a change of the address. */
export function changesOf({ pause, scale, grant, expires }: WhatIf): Record<string, string | null> {
  return {
    [keys.open]: '1',
    [keys.pause]: pause.join(',') || null,
    [keys.scale]: scale === 100 ? null : String(scale),
    [keys.grant]: grant.trim() || null,
    [keys.expires]: expires || null,
  }
}

/** closed takes everything out of the address. */
export const closed: Record<string, null> = Object.fromEntries(Object.values(keys).map((key) => [key, null]))

/** isNothing says that a what-if changes nothing. */
export const isNothing = ({ pause, scale, grant }: WhatIf) => pause.length === 0 && scale === 100 && grant.trim() === ''

/** grantError says what is wrong with an amount of credits; empty: nothing. */
export function grantError(grant: string): string {
  const text = grant.trim()
  if (text === '') return ''
  if (!/^\d{1,13}(\.\d{1,6})?$/.test(text)) return 'An amount such as 5000 or 12.5, with at most six decimals'
  if (Number(text) === 0) return 'More than 0'
  return Number(text) > 1e12 ? 'At most a million million' : ''
}

/** expiresError says what is wrong with a day of expiry; empty: nothing. */
export function expiresError(expires: string, zone: string): string {
  if (expires === '') return ''
  const day = dayOf(expires)
  if (day === null) return 'Not a day'
  return day.compare(toCalendarDate(fromAbsolute(serverNow(), zone))) > 0 ? '' : 'Tomorrow or later'
}

function dayOf(text: string): CalendarDate | null {
  try {
    const { year, month, day } = parseDate(text)
    return new CalendarDate(year, month, day)
  } catch {
    return null
  }
}

/** queryOf is what the API is asked; what is wrong is left out of it. */
export function queryOf({ pause, scale, grant, expires }: WhatIf, zone: string): ProjectionQuery {
  const credits = grantError(grant) === '' ? grant.trim() : ''
  const day = credits && expiresError(expires, zone) === '' ? dayOf(expires) : null
  return {
    ...(pause.length > 0 ? { pause: pause.join(',') } : {}),
    ...(scale !== 100 ? { scale: scale / 100 } : {}),
    ...(credits ? { grant: credits } : {}),
    ...(day ? { grant_expires_at: day.toDate(zone).toISOString() } : {}),
  }
}
