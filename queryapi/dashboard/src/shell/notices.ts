import type { Schemas } from '../api/client'

type Alert = Schemas['LiveAlert']

/** Notice is an alert of the stream that nobody has dismissed yet. */
export type Notice = Pick<Alert, 'incident_id' | 'state' | 'message' | 'at'> & {
  /** What was said while it fired, if that was seen. */
  was: string | null
}

/** kept bounds what is remembered while nobody looks; the list has all of them. */
const kept = 500

/**
 * noticesAfter adds an alert, the newest first: one of each incident, so that what is resolved takes the place of
 * what fired. What is pending may come to nothing, and is nobody's worry yet.
 */
export function noticesAfter(notices: Notice[], { incident_id, state, message, at }: Alert): Notice[] {
  if (state === 'pending') return notices
  const before = notices.find((notice) => notice.incident_id === incident_id)
  // A stream that resumes may tell what was told.
  if (before?.state === state) return notices
  const rest = notices.filter((notice) => notice !== before)
  return [{ incident_id, state, message, at, was: before?.message ?? null }, ...rest].slice(0, kept)
}

/** eachSaid is how many alerts at once are read out one by one; of more the number is said, and the last of them. */
const eachSaid = 3

/** announcement is what who hears the page is told of alerts that came at about the same time, the newest first. */
export function announcement(fresh: Notice[]): string {
  const one = ({ state, message }: Notice) => `${state === 'resolved' ? 'Alert resolved' : 'Alert'}: ${message}.`
  const [last] = fresh
  if (!last) return ''
  return fresh.length > eachSaid ? `${fresh.length} alerts. The last one: ${one(last)}` : fresh.toReversed().map(one).join(' ')
}
