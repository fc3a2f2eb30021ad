import type { Schemas } from '../../api/client'
import { amount } from '../../format'
import type { AuditAction } from './queries'

/** actions of the audit log, as the filter offers them. */
export const actions: Record<AuditAction, string> = {
  'credits.grant': 'Credits granted',
  'credits.adjust': 'Credits adjusted',
  'credits.void': 'Grant voided',
  'key.create': 'Key created',
  'key.revoke': 'Key revoked',
  'alert_rule.create': 'Alert rule created',
  'alert_rule.update': 'Alert rule changed',
  'alert_rule.delete': 'Alert rule deleted',
  'alert_rule.rotate_secret': 'Alert secret rotated',
  'alert_rule.silence': 'Alert rule silenced',
  'alert_rule.deliver_test': 'Test message sent',
  'alert_incident.acknowledge': 'Incident acknowledged',
}

/** credentials are how somebody proved who they are. */
export const credentials: Record<Schemas['AuditEntry']['credential'], string> = {
  token: 'Server token',
  api_key: 'API key',
  jwt: 'Token',
  session: 'Signed in',
}

/** about is what was done it to, in a few words; '': the detail says no more. */
export function about({ detail }: Pick<Schemas['AuditEntry'], 'detail'>): string {
  // Of money the detail is the event as Kafka has it.
  const data = (detail.data ?? detail) as Record<string, unknown>
  const text = (name: string) => (typeof data[name] === 'string' ? (data[name] as string) : '')
  const credits = text('credits')
  const parts = [credits ? `${amount(credits)} credits` : '', text('name'), text('grant_id'), text('note') || text('reason')]
  return parts.filter(Boolean).join(' \u00b7 ')
}
