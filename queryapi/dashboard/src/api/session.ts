import { ApiError, problemOf } from './client'
import { heardOf, leave, onMet, queryClient } from './queries'

/** ended tells the other windows of this browser, which have the same session, that it ended. */
const ended = new BroadcastChannel('drawdown.session')
ended.onmessage = () => leave()

/** whose tells them whose it is. */
const whose = new BroadcastChannel('drawdown.subject')
whose.onmessage = ({ data }: MessageEvent<string>) => heardOf(data)

/** follow keeps the page to whoever is signed in now, also when the browser brings back a page that was left. */
export function follow() {
  onMet((subject) => whose.postMessage(subject))
  window.addEventListener('pageshow', ({ persisted }) => {
    if (persisted) void queryClient.invalidateQueries({ queryKey: ['me'] })
  })
}

/**
 * signOut ends the session and drops all figures before the page is left: a browser may keep the page as it is, to
 * bring it back. It throws an ApiError if the session goes on.
 */
export async function signOut() {
  let response: Response
  try {
    response = await fetch('/auth/sign-out', { method: 'POST', credentials: 'same-origin' })
  } catch {
    throw new ApiError(0, 'unreachable', 'The server cannot be reached.')
  }
  if (!response.ok) throw await problemOf(response)
  leave()
  ended.postMessage('left')
  window.location.assign('/')
}
