const looks: Record<string, { tone: string; text: string }> = {
  ACTIVE: { tone: 'good', text: 'Active' },
  PAUSED: { tone: 'warn', text: 'Paused' },
  COMPLETED: { tone: 'plain', text: 'Completed' },
  DRAFT: { tone: 'faint', text: 'Draft' },
  active: { tone: 'good', text: 'Active' },
  scheduled: { tone: 'accent', text: 'Scheduled' },
  exhausted: { tone: 'plain', text: 'Used up' },
  expired: { tone: 'plain', text: 'Expired' },
  voided: { tone: 'bad', text: 'Voided' },
  revoked: { tone: 'bad', text: 'Revoked' },
  pending: { tone: 'warn', text: 'Pending' },
  firing: { tone: 'bad', text: 'Firing' },
  resolved: { tone: 'good', text: 'Resolved' },
  stale: { tone: 'warn', text: 'Stale' },
}

/** Badge is a status: a shape, a colour and always the word. */
export function Badge({ status }: { status: string }) {
  const look = looks[status] ?? { tone: 'plain', text: status }
  return <span className={`badge badge-${look.tone}`}>{look.text}</span>
}
