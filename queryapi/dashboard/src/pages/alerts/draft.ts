import type { Rule, RuleRequest } from '../../api/alerts'
import { ApiError } from '../../api/client'
import { sentence } from '../../parts/field'
import { type Kind, kindNames, type Params } from './words'

/** Hook is a webhook in a form; key tells rows apart while they are edited. */
export type Hook = { key: number; url: string; format: 'standard' | 'slack' }

/** Draft is a rule as it is typed. Numbers stay text until it is checked. */
export type Draft = {
  kind: Kind
  name: string
  enabled: boolean
  /** How an amount is said: of what is allocated, or in credits. */
  unit: 'percent' | 'credits'
  percent: string
  credits: string
  days: string
  /** Empty: each campaign by itself. */
  campaign: string
  factor: string
  window: string
  /** null: the usual ones, fitted to the time to expiry. */
  windows: { key: number; long: string; short: string; factor: string }[] | null
  /** Minutes. */
  held: string
  hysteresis: string
  hooks: Hook[]
}

/** Errors are what is wrong, by the place in the request: `params.percent`, `webhooks[0].url`. */
export type Errors = Record<string, string>

let keys = 0
/** newKey tells rows of a form apart. */
export const newKey = () => ++keys

/** maxHooks and maxWindows are as many as the API takes. */
export const maxHooks = 10
export const maxWindows = 8

/** usual are sensible figures to begin with; how long it must hold is what the API takes by default. */
const usual: Record<Kind, Partial<Draft>> = {
  balance_below: { percent: '10', held: '0' },
  runway_below: { days: '7', held: '15' },
  expiring_unused: { days: '14', percent: '10', held: '60' },
  burn_rate: { held: '0' },
  burn_spike: { factor: '3', window: '1h', percent: '1', held: '5' },
  quota_used: { percent: '90', held: '0' },
  quota_projected: { percent: '100', held: '15' },
  freshness: { held: '0' },
}

/** usualWindows are what to begin one's own with: those of the API, as they are for 30 days. */
const usualWindows = [
  { long: '1h', short: '5m', factor: '14.4' },
  { long: '6h', short: '30m', factor: '6' },
  { long: '3d', short: '6h', factor: '1' },
]

/** usualWindow is the one to offer after so many. */
export const usualWindow = (after: number) => ({
  key: newKey(),
  ...(usualWindows[after % usualWindows.length] as (typeof usualWindows)[0]),
})

/** newDraft is a rule of a kind with the usual figures. */
export function newDraft(kind: Kind): Draft {
  return {
    kind,
    name: kindNames[kind],
    enabled: true,
    unit: 'percent',
    percent: '',
    credits: '',
    days: '',
    campaign: '',
    factor: '',
    window: '1h',
    windows: null,
    held: '0',
    hysteresis: '10',
    hooks: [],
    ...usual[kind],
  }
}

/** otherKind keeps what is no matter of the kind; a name that was only suggested follows it. */
export function otherKind(draft: Draft, kind: Kind): Draft {
  const { name, enabled, hooks, hysteresis } = draft
  const kept = name === kindNames[draft.kind] || name.trim() === '' ? {} : { name }
  return { ...newDraft(kind), ...kept, enabled, hooks, hysteresis }
}

/** draftOf is a rule as it is, to be changed. */
export function draftOf(rule: Pick<Rule, 'kind' | 'name' | 'enabled' | 'params' | 'webhooks'>): Draft {
  const params: Params = rule.params
  const text = (value: number | undefined) => (value === undefined ? '' : String(value))
  return {
    ...newDraft(rule.kind),
    name: rule.name,
    enabled: rule.enabled,
    unit: params.credits === undefined ? 'percent' : 'credits',
    percent: params.credits === undefined ? text(params.percent) : (usual[rule.kind].percent ?? ''),
    credits: params.credits ?? '',
    days: text(params.days),
    campaign: params.campaign_id ?? '',
    factor: text(params.factor),
    window: params.window ?? '1h',
    windows: params.windows?.map((w) => ({ key: newKey(), long: w.long, short: w.short, factor: String(w.factor) })) ?? null,
    held: text(params.for ?? 0),
    hysteresis: text(params.hysteresis ?? 10),
    hooks: rule.webhooks.map((hook) => ({ key: newKey(), ...hook })),
  }
}

/** numberText is a number as people type it, as the API takes it; null: it is none, or may be two. */
export function numberText(text: string): string | null {
  const plain = text.trim().replace(/[\s\u00a0\u202f]/g, '')
  if (/^\d{1,13}(\.\d{1,6})?$/.test(plain)) return plain
  // "1,5" is one and a half in half of the world; "1,500" could be either, so it is neither.
  const [, whole, fraction] = /^(\d{1,13}),(\d{1,2})$/.exec(plain) ?? []
  return whole ? `${whole}.${fraction}` : null
}

/** Bounds of a number, as the API has them: above says that the lower one does not count. */
type Bounds = { low: number; high: number; above?: boolean; whole?: boolean; what: string }

const percents: Bounds = { low: 0, above: true, high: 1000, what: 'a percentage above 0 and at most 1000' }
const shares: Bounds = { low: 0, above: true, high: 100, what: 'a percentage above 0 and at most 100' }
const days: Bounds = { low: 0, above: true, high: 1825, what: 'days, above 0 and at most 1825' }
const spikeFactor: Bounds = { low: 1, high: 1000, what: 'a number from 1 to 1000' }
const burnFactor: Bounds = { low: 0, above: true, high: 1000, what: 'a number above 0 and at most 1000' }
const minutes: Bounds = { low: 0, high: 10080, whole: true, what: 'whole minutes from 0 to 10080, which is a week' }
const slack: Bounds = { low: 0, high: 90, what: 'a percentage from 0 to 90' }

/** checked is a draft as the API is asked, and what is wrong with it. */
export function checked(draft: Draft): { request: RuleRequest; errors: Errors } {
  const errors: Errors = {}
  const params = { ...paramsOf(draft, errors) }
  if (draft.kind !== 'freshness') {
    params.for = number(draft.held, 'params.for', minutes, errors)
    params.hysteresis = number(draft.hysteresis, 'params.hysteresis', slack, errors)
  }
  const name = draft.name.trim()
  if (name === '') errors.name = 'Give it a name that says what it is about.'
  // The API counts bytes.
  if (new TextEncoder().encode(name).length > 256) errors.name = 'Use a shorter name.'
  const webhooks = draft.hooks.map(({ url, format }, i) => {
    const wrong = wrongUrl(url.trim())
    if (wrong) errors[`webhooks[${i}].url`] = wrong
    return { url: url.trim(), format }
  })
  return {
    request: { kind: draft.kind, name, enabled: draft.enabled, params: params as RuleRequest['params'] & {}, webhooks },
    errors,
  }
}

function paramsOf(draft: Draft, errors: Errors): Params {
  const campaign = draft.campaign.trim() ? { campaign_id: draft.campaign.trim() } : {}
  switch (draft.kind) {
    case 'balance_below':
      return amountOf(draft, shares, errors)
    case 'runway_below':
      return { days: number(draft.days, 'params.days', days, errors) }
    case 'expiring_unused':
      return { days: number(draft.days, 'params.days', days, errors), ...amountOf(draft, shares, errors) }
    case 'burn_rate':
      return windowsOf(draft, errors)
    case 'burn_spike':
      return {
        factor: number(draft.factor, 'params.factor', spikeFactor, errors),
        window: draft.window,
        ...amountOf(draft, percents, errors),
      }
    case 'quota_used':
    case 'quota_projected':
      return { percent: number(draft.percent, 'params.percent', percents, errors), ...campaign }
    case 'freshness':
      return {}
  }
}

function number(text: string, at: string, { low, high, above, whole, what }: Bounds, errors: Errors): number {
  const typed = numberText(text)
  const value = Number(typed)
  const digits = typed?.split('.')[1]?.length ?? 0
  const inside = (above ? value > low : value >= low) && value <= high
  if (typed === null || !inside || digits > (whole ? 0 : 2))
    errors[at] = `Enter ${what}${whole ? '' : ', with at most 2 decimals'}.`
  return value
}

function amountOf({ unit, percent, credits }: Draft, bounds: Bounds, errors: Errors): Params {
  if (unit === 'percent') return { percent: number(percent, 'params.percent', bounds, errors) }
  const typed = numberText(credits)
  if (typed === null) errors['params.credits'] = 'Enter credits, from 0 on, without separators and with at most 6 decimals.'
  return { credits: typed ?? '' }
}

function windowsOf({ windows }: Draft, errors: Errors): Params {
  if (windows === null) return {}
  return {
    windows: windows.map(({ long, short, factor }, i) => {
      const at = `params.windows[${i}]`
      if (windowLength(short) >= windowLength(long)) errors[`${at}.short`] = 'Choose a shorter one than the long window.'
      return { long, short, factor: number(factor, `${at}.factor`, burnFactor, errors) }
    }),
  }
}

const windowLength = (text: string) => Number(text.slice(0, -1)) * (text.endsWith('d') ? 1440 : text.endsWith('h') ? 60 : 1)

/** urlLimit is how long an address may be, in characters, as the API has it. */
const urlLimit = 2048

/** wrongUrl says what is wrong with the address of a webhook; empty: nothing that can be seen from here. */
export function wrongUrl(text: string): string {
  if (text === '') return 'Enter an address, or remove the webhook.'
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return 'Enter a whole address that begins with https://.'
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'Enter an address that begins with https://.'
  if (url.username || url.password) return 'Leave user and password out of the address.'
  if (url.hash) return 'Leave out what follows #.'
  return text.length > urlLimit ? 'Enter a shorter address.' : ''
}

/** errorsOf are what the API has against single fields, by their places. */
export function errorsOf(error: unknown): Errors {
  const found: Errors = {}
  if (!(error instanceof ApiError)) return found
  for (const { location, message } of error.fields) {
    const at = location.replace(/^body\.?/, '')
    if (location.startsWith('body')) found[at] ??= sentence(message.replace(/^want /, 'enter '))
  }
  return found
}
