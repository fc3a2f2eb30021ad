import { lost, problemOf } from '../api/client'

/** ask is fetch with the page's own words for what fails. */
async function ask(url: string, method: 'HEAD' | 'GET'): Promise<Response> {
  try {
    return await fetch(url, { method, credentials: 'same-origin' })
  } catch (error) {
    throw lost(error)
  }
}

/** refused throws what the API has against an export; a file is not begun. */
export async function refused(url: string) {
  const head = await ask(url, 'HEAD')
  if (head.ok) return
  // An answer to HEAD has no body to say why.
  const answer = await ask(url, 'GET')
  if (!answer.ok) throw await problemOf(answer)
  void answer.body?.cancel()
}

/** save lets the browser fetch a file, which never is in this page's memory. */
export function save(url: string) {
  const link = document.createElement('a')
  link.href = url
  link.download = ''
  document.body.append(link)
  link.click()
  link.remove()
}
