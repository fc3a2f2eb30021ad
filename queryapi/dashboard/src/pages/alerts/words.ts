import type { Attempt, DryRun, Incident, Rule } from '../../api/alerts'
import type { Schemas } from '../../api/client'
import { amount, count, duration, percent, rounded } from '../../format'

export type Kind = Rule['kind']
export type Window = Schemas['BurnRateWindow']

/** Params are those of every kind; which are there is the kind's. */
export type Params = {
  credits?: string
  percent?: number
  days?: number
  windows?: Window[]
  campaign_id?: string
  factor?: number
  window?: string
  for?: number
  hysteresis?: number
}

/** kindNames say in a few words what each kind watches, in the order in which one thinks of them. */
export const kindNames: Record<Kind, string> = {
  balance_below: 'Few credits are left',
  runway_below: 'The credits run out soon',
  expiring_unused: 'Credits will expire unused',
  burn_rate: 'Credits go faster than they last',
  burn_spike: 'Credits go faster than usual',
  quota_used: 'A campaign has used its quota',
  quota_projected: 'A campaign will pass its quota',
  freshness: 'Figures stand still',
}

/** newKinds are those that a rule can be made of; the one of kind freshness is there already. */
export const newKinds = (Object.keys(kindNames) as Kind[]).filter((kind) => kind !== 'freshness')

const plural = (n: number, one: string) => `${amount(String(n))} ${n === 1 ? one : `${one}s`}`

/** minutesWords writes minutes in the largest unit that is whole: `15 minutes`, `1 hour`, `3 days`. */
export function minutesWords(minutes: number): string {
  if (minutes % 1440 === 0 && minutes > 0) return plural(minutes / 1440, 'day')
  if (minutes % 60 === 0 && minutes > 0) return plural(minutes / 60, 'hour')
  return plural(minutes, 'minute')
}

/** windowMinutes reads a window of the API such as `90m`, `6h` or `3d`; null: it is none. */
export function windowMinutes(text: string): number | null {
  const [, digits, unit] = /^(\d{1,5})([mhd])$/.exec(text) ?? []
  return digits ? Number(digits) * (unit === 'm' ? 1 : unit === 'h' ? 60 : 1440) : null
}

/** windowWords writes a window of the API in words. */
export function windowWords(text: string): string {
  const minutes = windowMinutes(text)
  return minutes === null ? text : minutesWords(minutes)
}

const share = (value: number) => percent(value, 2)

/** least writes an amount that is either credits or a share of what is allocated. */
function least({ credits, percent: of }: Params): string {
  return credits !== undefined ? `${amount(credits)} credits` : `${share(of ?? 0)} of the allocated credits`
}

/** ruleSentence says what a rule says: `When 10 % of the allocated credits or less is left`. */
export function ruleSentence(kind: Kind, params: Params, nameOf: (campaign: string) => string = (id) => id): string {
  const held = params.for && kind !== 'freshness' ? `, and stays so for ${minutesWords(params.for)}` : ''
  return `When ${condition(kind, params, nameOf)}${held}`
}

function condition(kind: Kind, params: Params, nameOf: (campaign: string) => string): string {
  const campaign = params.campaign_id ? `campaign ${nameOf(params.campaign_id)}` : 'a campaign'
  switch (kind) {
    case 'balance_below':
      if (params.credits === undefined) return `${least(params)} or less is left`
      return Number(params.credits) === 0 ? 'no credits are left' : `${least(params)} or fewer are left`
    case 'runway_below':
      return `the credits will run out within ${plural(params.days ?? 0, 'day')}`
    case 'expiring_unused':
      return `${least(params)} or more will expire unused within ${plural(params.days ?? 0, 'day')}`
    case 'burn_rate':
      return burnCondition(params.windows)
    case 'burn_spike':
      return `${windowWords(params.window ?? '1h')} uses ${rounded(params.factor ?? 0, 2)} times what is usual, and ${least(params)} or more`
    case 'quota_used':
      return `${campaign} has used ${share(params.percent ?? 0)} of its quota or more`
    case 'quota_projected':
      return `${campaign} is expected to use ${share(params.percent ?? 100)} of its quota or more by the end of its period`
    case 'freshness':
      return 'counting has stood still for a minute'
  }
}

function burnCondition(windows: Window[] | undefined): string {
  if (!windows) return 'credits go so fast that they end well before they expire'
  const each = windows.map(
    ({ long, short, factor }) => `${rounded(factor, 2)} times over ${windowWords(long)} and over the last ${windowWords(short)}`,
  )
  return `credits go faster than they last: ${each.join(', or ')}`
}

/** Times are when an incident reached its states; null: it did not, or not yet. */
export type Times = { firedAt: string | null; resolvedAt: string | null; seconds: number }

/** timesOf tells them, and for how long it has been or was so. */
export function timesOf(incident: Pick<Incident, 'began_at' | 'changes'>, now: number): Times {
  const at = (state: string) => incident.changes.find((change) => change.state === state)?.at ?? null
  const resolvedAt = at('resolved')
  const end = resolvedAt === null ? now : Date.parse(resolvedAt)
  return { firedAt: at('firing'), resolvedAt, seconds: Math.max((end - Date.parse(incident.began_at)) / 1000, 0) }
}

/** headline is what an incident was about: what was said last while it was open, and why it is over apart. */
export function headline({ state, message, changes }: Pick<Incident, 'state' | 'message' | 'changes'>) {
  const open = state === 'resolved' ? changes.findLast((change) => change.state !== 'resolved') : undefined
  return open ? { title: open.message, over: message } : { title: message, over: null }
}

/** lasted says for how long: `for 3 h so far`, `after 3 h`. */
export function lasted({ resolvedAt, seconds }: Times): string {
  return resolvedAt === null ? `for ${duration(seconds)} so far` : `after ${duration(seconds)}`
}

export type Outcome = Attempt['outcome']

export const outcomes: Record<Outcome, { text: string; tone: 'good' | 'warn' | 'bad' | 'plain'; means: string }> = {
  delivered: { text: 'Delivered', tone: 'good', means: 'The receiver took it.' },
  retrying: { text: 'Retrying', tone: 'warn', means: 'It is tried again for a day.' },
  failed: { text: 'Failed', tone: 'bad', means: 'It was tried for a day, or it was a test, which is tried once.' },
  refused: { text: 'Refused', tone: 'bad', means: 'The address is private or has no TLS, which this server does not allow.' },
  disabled: { text: 'Disabled', tone: 'plain', means: 'The receiver or the owner of the rule wants no more.' },
  silenced: { text: 'Silenced', tone: 'plain', means: 'The rule was silenced, so nothing was sent.' },
}

/** deliveriesWords counts messages by what became of them: `2 delivered, 1 retrying`. */
export function deliveriesWords(counts: Incident['deliveries']): string {
  const some = (Object.keys(outcomes) as Outcome[]).filter((outcome) => counts[outcome] > 0)
  return (
    some.map((outcome) => `${count(counts[outcome])} ${outcomes[outcome].text.toLowerCase()}`).join(', ') || 'No webhooks told'
  )
}

/** dryRunSentence says how often a rule would have fired. */
export function dryRunSentence({ fired, from, to }: Pick<DryRun, 'fired' | 'from' | 'to'>): string {
  const days = Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000)
  const over = `in the last ${plural(days, 'day')}`
  if (fired === 0) return `Would not have fired ${over}`
  return fired === 1 ? `Would have fired once ${over}` : `Would have fired ${count(fired)} times ${over}`
}

/** tested says whether a test message has been tried at every webhook. */
export function tested(items: Attempt[], webhooks: number): boolean {
  return items.filter((item) => item.outcome !== 'retrying').length >= webhooks
}

/** latestByDestination is what became of a message at each of its destinations. */
export function latestByDestination(items: Attempt[]): Attempt[] {
  const latest = new Map<string, Attempt>()
  for (const item of items) {
    const known = latest.get(item.destination)
    if (!known || (known.outcome === 'retrying' && item.outcome !== 'retrying')) latest.set(item.destination, item)
  }
  return [...latest.values()].sort((a, b) => (a.destination < b.destination ? -1 : 1))
}

/** figureWords writes a figure of an incident with its unit. */
export function figureWords(value: string, unit: string): string {
  switch (unit) {
    case 'percent':
      return share(Number(value))
    case 'credits':
      return `${amount(value)} credits`
    case 'days':
      return plural(Number(rounded2(value)), 'day')
    default:
      return `${amount(value)} ${unit}`
  }
}

const rounded2 = (value: string) => (Math.round(Number(value) * 100) / 100).toString()
