import type { Scope } from '../../api/client'

/** scopes with what each lets somebody do, in the order in which they are shown. */
export const scopes: { scope: Scope; may: string; more: string }[] = [
  { scope: 'credits:read', may: 'See credits', more: 'Balance, usage, campaigns, history, projections and alerts' },
  { scope: 'credits:export', may: 'Export', more: 'Download events, usage and history as files' },
  { scope: 'credits:admin', may: 'Change credits', more: 'Grant, adjust and void credits, and see who changed what' },
  { scope: 'alerts:write', may: 'Change alerts', more: 'Make, change and delete alert rules, acknowledge incidents' },
  { scope: 'events:write', may: 'Send events', more: 'Report that campaigns use credits' },
  { scope: 'operator', may: 'Operate', more: 'See all workspaces' },
]

/** mayOf is what a scope lets somebody do, in two words. */
export const mayOf = (scope: Scope) => scopes.find((s) => s.scope === scope)?.may ?? scope
