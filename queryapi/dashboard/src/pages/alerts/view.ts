import { parseDate } from '@internationalized/date'
import type { DeliveriesQuery, IncidentsQuery } from '../../api/alerts'

/** What part of the tab is shown. */
export type Part = 'incidents' | 'rules' | 'deliveries'
export type State = 'pending' | 'firing' | 'resolved'
export type Outcome = NonNullable<DeliveriesQuery['outcome']>
export type Sent = NonNullable<DeliveriesQuery['state']>
export type Preset = '24h' | '7d' | '30d' | '90d'

/** View is how the tab is looked at; it stands in the address. */
export type View = {
  part: Part
  /** The one that is open. */
  incident: string | null
  rule: string | null
  state: State | null
  /** Only of this rule. */
  by: string | null
  campaign: string | null
  /** Only what nobody has acknowledged. */
  open: boolean
  outcome: Outcome | null
  /** What messages are about. */
  sent: Sent | null
  range: Preset | 'days' | null
  from: string
  to: string
}

export const states: readonly State[] = ['firing', 'pending', 'resolved']
export const presets: Record<Preset, { text: string; hours: number }> = {
  '24h': { text: 'Last 24 hours', hours: 24 },
  '7d': { text: 'Last 7 days', hours: 7 * 24 },
  '30d': { text: 'Last 30 days', hours: 30 * 24 },
  '90d': { text: 'Last 90 days', hours: 90 * 24 },
}
const parts: readonly Part[] = ['incidents', 'rules', 'deliveries']
export const sents: readonly Sent[] = ['firing', 'resolved', 'test']
const outcomeNames: readonly Outcome[] = ['delivered', 'retrying', 'failed', 'refused', 'disabled', 'silenced']

/** whole is a campaign filter that no campaign is called: what is about the workspace itself. */
export const whole = '*'

/** viewOf reads the address; what it does not know counts as not said. */
export function viewOf(query: URLSearchParams): View {
  const incident = query.get('incident')
  const rule = query.get('rule')
  const [from, to] = [dayOf(query.get('from')), dayOf(query.get('to'))]
  const preset = query.get('range')
  return {
    // What a notification links to is shown, whatever the part.
    part: parts.find((p) => p === query.get('part')) ?? (rule && !incident ? 'rules' : 'incidents'),
    incident,
    rule,
    state: states.find((s) => s === query.get('state')) ?? null,
    by: query.get('by'),
    campaign: query.get('campaign'),
    open: query.get('open') === '1',
    sent: sents.find((t) => t === query.get('sent')) ?? null,
    outcome: outcomeNames.find((o) => o === query.get('outcome')) ?? null,
    range: from || to || preset === 'days' ? 'days' : preset !== null && preset in presets ? (preset as Preset) : null,
    from,
    to,
  }
}

/** dayOf is a date such as 2026-11-25; empty: none. */
function dayOf(text: string | null): string {
  if (!text || !/^\d{4}-\d\d-\d\d$/.test(text)) return ''
  try {
    return parseDate(text).toString()
  } catch {
    return ''
  }
}

/** hour is what a moving range begins at a whole one of, in milliseconds: else each look would be another question. */
const hour = 3_600_000

/** rangeOf is the range in instants, half-open; days are those of the zone. */
export function rangeOf({ range, from, to }: Pick<View, 'range' | 'from' | 'to'>, zone: string, now: number) {
  if (range === null) return {}
  if (range !== 'days') {
    return { from: new Date(Math.floor(now / hour) * hour - presets[range].hours * hour).toISOString() }
  }
  const start = (text: string, days = 0) => parseDate(text).add({ days }).toDate(zone).toISOString()
  return { ...(from ? { from: start(from) } : {}), ...(to ? { to: start(to, 1) } : {}) }
}

/** incidentsQuery is what the API is asked, but for the state. */
export function incidentsQuery(view: View, zone: string, now: number): IncidentsQuery {
  return {
    ...rangeOf(view, zone, now),
    ...(view.by ? { rule_id: view.by } : {}),
    ...(view.campaign ? { subject: view.campaign === whole ? '' : view.campaign } : {}),
    ...(view.open ? { acknowledged: 'false' as const } : {}),
  }
}

/** deliveriesQuery is what the API is asked. */
export function deliveriesQuery(view: View, zone: string, now: number): DeliveriesQuery {
  return {
    ...rangeOf(view, zone, now),
    ...(view.by ? { rule_id: view.by } : {}),
    ...(view.outcome ? { outcome: view.outcome } : {}),
    ...(view.sent ? { state: view.sent } : {}),
  }
}

/** filtered says whether something is left out. */
export function filtered(view: View): boolean {
  return Boolean(view.state || view.by || view.campaign || view.open || view.range || view.outcome || view.sent)
}

/** noFilters is the change of the address that lets everything through. */
export const noFilters = {
  state: null,
  by: null,
  campaign: null,
  open: null,
  range: null,
  from: null,
  to: null,
  outcome: null,
  sent: null,
}
