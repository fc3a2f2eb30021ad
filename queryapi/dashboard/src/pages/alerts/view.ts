import type { DeliveriesQuery, IncidentsQuery } from '../../api/alerts'
import type { Instants } from '../../parts/range/presets'

/** What part of the tab is shown. */
export type Part = 'incidents' | 'rules' | 'deliveries'
export type State = 'pending' | 'firing' | 'resolved'
export type Outcome = NonNullable<DeliveriesQuery['outcome']>
export type Sent = NonNullable<DeliveriesQuery['state']>

/** View is how the tab is looked at, beside the range; it stands in the address. */
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
}

export const states: readonly State[] = ['firing', 'pending', 'resolved']
const parts: readonly Part[] = ['incidents', 'rules', 'deliveries']
export const sents: readonly Sent[] = ['firing', 'resolved', 'test']
const outcomeNames: readonly Outcome[] = ['delivered', 'retrying', 'failed', 'refused', 'disabled', 'silenced']

/** whole is a campaign filter that no campaign is called: what is about the workspace itself. */
export const whole = '*'

/** viewOf reads the address; what it does not know counts as not said. */
export function viewOf(query: URLSearchParams): View {
  const incident = query.get('incident')
  const rule = query.get('rule')
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
  }
}

/** incidentsQuery is what the API is asked, but for the state. */
export function incidentsQuery(view: View, range: Instants): IncidentsQuery {
  return {
    ...range,
    ...(view.by ? { rule_id: view.by } : {}),
    ...(view.campaign ? { subject: view.campaign === whole ? '' : view.campaign } : {}),
    ...(view.open ? { acknowledged: 'false' as const } : {}),
  }
}

/** deliveriesQuery is what the API is asked. */
export function deliveriesQuery(view: View, range: Instants): DeliveriesQuery {
  return {
    ...range,
    ...(view.by ? { rule_id: view.by } : {}),
    ...(view.outcome ? { outcome: view.outcome } : {}),
    ...(view.sent ? { state: view.sent } : {}),
  }
}

/** filtered says whether something is left out, beside what is out of the range. */
export function filtered(view: View): boolean {
  return Boolean(view.state || view.by || view.campaign || view.open || view.outcome || view.sent)
}

/** noFilters is the change of the address that lets everything through. */
export const noFilters = {
  state: null,
  by: null,
  campaign: null,
  open: null,
  preset: null,
  from: null,
  to: null,
  outcome: null,
  sent: null,
}
