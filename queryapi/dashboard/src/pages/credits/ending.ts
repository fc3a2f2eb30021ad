import type { Schemas } from '../../api/client'
import { serverNow } from '../../api/clock'
import { amount, day, instant } from '../../format'

// How the credits end, in words.

type Balance = Schemas['Balance']
type Verdict = { tone: 'good' | 'plain' | 'warn' | 'bad'; text: string }

/** endingOf says in a sentence or two how the credits end. */
export function endingOf(
  {
    remaining,
    overdraft,
    runway,
    expires_at,
    grants,
  }: Pick<Balance, 'remaining' | 'overdraft' | 'runway' | 'expires_at' | 'grants'>,
  zone: string,
  now = serverNow(),
): Verdict {
  if (overdraft !== '0') {
    return { tone: 'bad', text: `The workspace is ${amount(overdraft)} credits overdrawn. New grants pay this first.` }
  }
  if (grants.length === 0) return { tone: 'plain', text: 'No credits have been granted yet.' }
  if (!(Number(remaining) > 0)) return { tone: 'bad', text: 'The credits are used up.' }
  const last = lastExpiry(grants)
  if (runway.exhausts_at === null) {
    return { tone: runway.method === 'insufficient_data' ? 'plain' : 'good', text: notEnding(runway, last, zone) }
  }
  const ends = Date.parse(runway.exhausts_at)
  const band = runway.p10 ? `, as early as ${day(runway.p10, zone)}` : ''
  const till = ends - now < 48 * 3_600_000 ? instant(runway.exhausts_at, zone) : day(runway.exhausts_at, zone)
  const against = expires_at === null ? '' : ` The next credits expire on ${day(expires_at, zone)}.`
  const soon = ends - now < 7 * 86_400_000
  if (last !== null && ends >= Date.parse(last)) {
    const early = runway.p10 && Date.parse(runway.p10) < ends ? `, or they run out as early as ${day(runway.p10, zone)}` : ''
    return { tone: soon ? 'warn' : 'good', text: `At this rate some credits expire unused, the last on ${till}${early}.` }
  }
  return { tone: soon ? 'warn' : 'good', text: `At this rate the credits run out on ${till}${band}.${against}` }
}

function lastExpiry(grants: Balance['grants']): string | null {
  let last = ''
  for (const grant of grants) {
    if (grant.status !== 'active' && grant.status !== 'scheduled') continue
    if (grant.expires_at === null) return null
    if (grant.expires_at > last) last = grant.expires_at
  }
  return last || null
}

function notEnding(runway: Balance['runway'], last: string | null, zone: string): string {
  const expiry = last === null ? '' : ` What is left expires by ${day(last, zone)}.`
  switch (runway.reason) {
    case 'no_consumption':
      return `Nothing is being used at present.${expiry}`
    case 'beyond_5_years':
      return `At this rate the credits last for more than five years.${expiry}`
    default:
      return runway.method === 'insufficient_data'
        ? `Too little is known yet to say when the credits run out.${expiry}`
        : `At this rate the credits do not run out.${expiry}`
  }
}
