import type { Schemas } from '../../../api/client'
import { amount } from '../../../format'
import type { Mark } from '../../../parts/chart/model'

/** grantMarks tell when credits were added and when they ended. */
export function grantMarks(grants: Schemas['BalanceGrant'][]): Mark[] {
  return grants.flatMap((grant): Mark[] => {
    if (grant.status === 'voided') return []
    const added: Mark = {
      at: Date.parse(grant.effective_at),
      kind: 'grant',
      text: `Grant added: ${amount(grant.credits)} credits`,
    }
    if (grant.expires_at === null) return [added]
    return [added, { at: Date.parse(grant.expires_at), kind: 'expiry', text: `Grant expires: ${amount(grant.credits)} credits` }]
  })
}

/** statusMarks tell when a campaign was started and paused; the oldest change comes first. */
export function statusMarks(changes: Schemas['StatusChange'][], name: string): Mark[] {
  const words: Record<string, { kind: Mark['kind']; text: string }> = {
    ACTIVE: { kind: 'started', text: 'Started' },
    PAUSED: { kind: 'paused', text: 'Paused' },
    COMPLETED: { kind: 'paused', text: 'Completed' },
  }
  return changes.flatMap(({ at, status }) => {
    const word = words[status]
    return word ? [{ at: Date.parse(at), kind: word.kind, text: `${word.text}: ${name}` }] : []
  })
}
