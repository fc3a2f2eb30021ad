// How figures and instants are written. Amounts stay exact decimal strings: a
// float is good enough for where a bar ends, never for a figure.

const sound = new Map<string, boolean>()

/** isSound says whether a name can be used; the answer is kept, because it is asked for with every figure. */
function isSound(name: string, use: () => unknown): boolean {
  let known = sound.get(name)
  if (known === undefined) {
    try {
      use()
      known = true
    } catch {
      known = false
    }
    sound.set(name, known)
  }
  return known
}

const isLocale = (name: string) => isSound(`locale ${name}`, () => new Intl.NumberFormat(name))

/**
 * locale is the first of the browser's that can be used: one that takes it from the system may name `en-US@posix`,
 * with which nothing can be written. Tests set another.
 */
export const locale = () => navigator.languages.find(isLocale) ?? 'en'

/** zoneKnown says whether this browser knows a zone: others know more names, such as `Factory` or `posix/UTC`. */
export const zoneKnown = (zone: string) => isSound(`zone ${zone}`, () => new Intl.DateTimeFormat('en', { timeZone: zone }))

const numbers = new Map<string, Intl.NumberFormat>()

function numberFormat(options: Intl.NumberFormatOptions, key: string) {
  const id = `${locale()}/${key}`
  let format = numbers.get(id)
  if (!format) {
    format = new Intl.NumberFormat(locale(), options)
    numbers.set(id, format)
  }
  return format
}

/** Amount split at the decimal mark, as the locale writes it. */
export type AmountParts = { whole: string; fraction: string }

/** amountParts writes a decimal string such as `-1234.5` exactly, with every digit it has. */
export function amountParts(decimal: string): AmountParts {
  // TypeScript wants a template type; Intl takes decimal strings as they are, without rounding.
  const parts = numberFormat({ maximumFractionDigits: 6 }, 'exact').formatToParts(decimal as unknown as number)
  let whole = ''
  let fraction = ''
  for (const part of parts) {
    if (part.type === 'decimal' || part.type === 'fraction') fraction += part.value
    else whole += part.value
  }
  return { whole, fraction }
}

/** amount writes a decimal string exactly. */
export function amount(decimal: string): string {
  const { whole, fraction } = amountParts(decimal)
  return whole + fraction
}

/** rounded writes an amount to at most so many decimals, for what is an estimate anyway. */
export function rounded(decimal: string | number, digits = 0): string {
  const small = Math.abs(Number(decimal)) < 10 && Number(decimal) !== 0
  return numberFormat({ maximumFractionDigits: small ? Math.max(digits, 2) : digits }, `rounded${small}${digits}`).format(
    Number(decimal),
  )
}

/** compact writes an amount for an axis: `12k`, `1.2M`. */
export function compact(value: number): string {
  return numberFormat({ notation: 'compact', maximumFractionDigits: 1 }, 'compact').format(value)
}

/** percent writes a share of 100; fixed keeps zeros, so that a column stands in line. */
export function percent(value: number, digits = 1, fixed = false): string {
  const least = fixed ? digits : 0
  return numberFormat(
    { style: 'percent', minimumFractionDigits: least, maximumFractionDigits: digits },
    `percent${least}${digits}`,
  ).format(value / 100)
}

/** count writes an integer. */
export function count(value: number): string {
  return numberFormat({ maximumFractionDigits: 0 }, 'count').format(value)
}

/** isNegative tells of a decimal string. */
export const isNegative = (decimal: string) => decimal.startsWith('-')

const dates = new Map<string, Intl.DateTimeFormat>()

function dateFormat(zone: string, options: Intl.DateTimeFormatOptions) {
  const id = `${locale()}/${zone}/${JSON.stringify(options)}`
  let format = dates.get(id)
  if (!format) {
    format = new Intl.DateTimeFormat(locale(), { timeZone: zone, ...options })
    dates.set(id, format)
  }
  return format
}

/** day writes a date: `15 Nov 2026`. */
export const day = (at: string | number, zone: string) =>
  dateFormat(zone, { day: 'numeric', month: 'short', year: 'numeric' }).format(new Date(at))

/** dayShort leaves out the year. */
export const dayShort = (at: string | number, zone: string) =>
  dateFormat(zone, { day: 'numeric', month: 'short' }).format(new Date(at))

/** month writes `Nov 2026`. */
export const month = (at: string | number, zone: string) =>
  dateFormat(zone, { month: 'short', year: 'numeric' }).format(new Date(at))

/** clock writes a time of day: `12:03`. */
export const clock = (at: string | number, zone: string) =>
  dateFormat(zone, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(at))

/** clockSeconds writes `12:03:20`. */
export const clockSeconds = (at: string | number, zone: string) =>
  dateFormat(zone, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(new Date(at))

/** clockMillis writes `12:03:20.125`: events are that exact. */
export const clockMillis = (at: string | number, zone: string) =>
  dateFormat(zone, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    hourCycle: 'h23',
  }).format(new Date(at))

/** longDay writes a day with its weekday: `Wed, 25 Nov 2026`. */
export const longDay = (at: string | number, zone: string) =>
  dateFormat(zone, { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' }).format(new Date(at))

/** dateKey is the local day of an instant, `2026-11-25` whatever the language. */
export function dateKey(at: string | number, zone: string): string {
  const parts: Record<string, string> = {}
  const format = dateFormat(zone, {
    day: '2-digit',
    month: '2-digit',
    year: 'numeric',
    calendar: 'iso8601',
    numberingSystem: 'latn',
  })
  for (const { type, value } of format.formatToParts(new Date(at))) parts[type] = value
  return `${parts.year}-${parts.month}-${parts.day}`
}

/** instant writes date and time to the minute. */
export const instant = (at: string | number, zone: string) =>
  dateFormat(zone, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(new Date(at))

/** instantSeconds writes date and time to the second. */
export const instantSeconds = (at: string | number, zone: string) =>
  dateFormat(zone, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(new Date(at))

/** zoneName says how a zone is called and how far it is from UTC at an instant: `America/New_York (GMT-5)`. */
export function zoneName(zone: string, at: string | number): string {
  const offset = dateFormat(zone, { timeZoneName: 'shortOffset' })
    .formatToParts(new Date(at))
    .find((part) => part.type === 'timeZoneName')?.value
  return zone === 'UTC' || !offset ? zone : `${zone.replaceAll('_', ' ')} (${offset})`
}

/** duration writes seconds as people say them: `4 s`, `3 min`, `2 h`, `5 days`. */
export function duration(seconds: number): string {
  const of = (value: number, unit: string) =>
    numberFormat({ style: 'unit', unit, unitDisplay: unit === 'day' ? 'long' : 'short', maximumFractionDigits: 0 }, unit).format(
      value,
    )
  if (seconds < 90) return of(Math.max(Math.round(seconds), 0), 'second')
  if (seconds < 90 * 60) return of(Math.round(seconds / 60), 'minute')
  if (seconds < 48 * 3600) return of(Math.round(seconds / 3600), 'hour')
  return of(Math.round(seconds / 86400), 'day')
}

/** ago writes how long something was before now: `3 minutes ago`. */
export function ago(at: string, now: number): string {
  const seconds = Math.round((Date.parse(at) - now) / 1000)
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' })
  if (Math.abs(seconds) < 60) return relative.format(seconds, 'second')
  if (Math.abs(seconds) < 5400) return relative.format(Math.round(seconds / 60), 'minute')
  if (Math.abs(seconds) < 172_800) return relative.format(Math.round(seconds / 3600), 'hour')
  return relative.format(Math.round(seconds / 86_400), 'day')
}
