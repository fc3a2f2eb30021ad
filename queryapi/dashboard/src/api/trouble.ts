// What to do about an answer that is not the one asked for: whether to ask
// again, and when. Pure rules; queries.ts applies them.
import { ApiError } from './client'

/** soon is when what failed is asked for again by itself, in milliseconds. */
const soon = 10_000
/** later is when what was refused is: a permission or a session may come back, if seldom. */
const later = 30_000
/** longest is how long a server may send the page away, in milliseconds. */
const longest = 60_000

/** worthRetrying says whether asking again may help: nothing is wrong with the question. */
export function worthRetrying(error: unknown) {
  if (!(error instanceof ApiError)) return false
  return error.status === 0 || error.status === 429 || error.status >= 500
}

/** retries says whether to ask again before anything is said: not when the server has told when it wants to be asked. */
export function retries(count: number, error: unknown) {
  return count < 2 && worthRetrying(error) && (error as ApiError).retryAfter === 0
}

/** retryDelay is in milliseconds: 1, 2, 4 up to 30 s with jitter. */
export function retryDelay(attempt: number) {
  return Math.min(1000 * 2 ** attempt, 30_000) * (0.75 + Math.random() / 2)
}

/** askAgain is after how many milliseconds to ask again by itself; false: the question itself is wrong. */
export function askAgain(error: unknown): number | false {
  if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return later
  if (!worthRetrying(error)) return false
  const asked = (error as ApiError).retryAfter * 1000
  return asked > 0 ? Math.min(asked, longest) : soon
}

type State = { status: string; error: unknown; errorUpdatedAt: number }

/** waits says that a question that failed is not to be asked yet, whatever else has happened. */
export function waits({ status, error, errorUpdatedAt }: State, now = Date.now()): boolean {
  if (status !== 'error') return false
  const after = askAgain(error)
  const since = now - errorUpdatedAt
  // Below 0 the clock of the device was set back.
  return after !== false && since >= 0 && since < after
}
