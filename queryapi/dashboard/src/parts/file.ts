import { problemOf } from '../api/client'

/** refused throws what the API has against an export; a file is not begun. */
export async function refused(url: string) {
  const head = await fetch(url, { method: 'HEAD', credentials: 'same-origin' })
  if (head.ok) return
  // An answer to HEAD has no body to say why.
  const answer = await fetch(url, { credentials: 'same-origin' })
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
