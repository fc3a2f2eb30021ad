import { useMemo, useSyncExternalStore } from 'react'

// The page has a handful of routes and keeps its view in the query string; the
// History API is all it needs.

/** Where the browser is. */
export type Place = { path: string; query: URLSearchParams }

const listeners = new Set<() => void>()

function announce() {
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void) {
  if (listeners.size === 0) window.addEventListener('popstate', announce)
  listeners.add(listener)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) window.removeEventListener('popstate', announce)
  }
}

const current = () => window.location.pathname + window.location.search

/** usePlace follows the address bar. */
export function usePlace(): Place {
  const at = useSyncExternalStore(subscribe, current)
  return useMemo(() => placeOf(at), [at])
}

/** placeOf takes an address apart at its first question mark; others are of the query. */
export function placeOf(at: string): Place {
  const [path = '/', ...query] = at.split('?')
  return { path, query: new URLSearchParams(query.join('?')) }
}

/** navigate goes to a path of the page; replace leaves no step to go back to. */
export function navigate(to: string, { replace = false } = {}) {
  if (to === current()) return
  const leaves = to.split('?')[0] !== window.location.pathname
  window.history[replace ? 'replaceState' : 'pushState'](null, '', to)
  announce()
  if (leaves && !replace) window.scrollTo(0, 0)
}

/** withQuery is a path with some parameters of a query changed; null removes one. */
export function withQuery(place: Place, changes: Record<string, string | null>): string {
  const query = new URLSearchParams(place.query)
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === '') query.delete(key)
    else query.set(key, value)
  }
  const text = query.toString()
  return text ? `${place.path}?${text}` : place.path
}

/** lasting is what holds on every screen: the zone of times, and the range that is looked at. */
const lasting = ['zone', 'preset', 'from', 'to']

/**
 * leading is a path as it is linked to from somewhere: another screen tells times and looks at the range as this one
 * does, unless the path has a range of its own. All time and half a range are left behind, which not every screen can
 * show.
 */
export function leading(from: Place, to: string): string {
  const { path, query: own } = placeOf(to)
  if (path === from.path) return to
  const query = new URLSearchParams()
  const ranged = ['preset', 'from', 'to'].some((key) => own.has(key))
  const whole = from.query.has('from') === from.query.has('to') && from.query.get('preset') !== 'all'
  for (const key of lasting) {
    const value = from.query.get(key)
    if (value !== null && (key === 'zone' || (whole && !ranged))) query.set(key, value)
  }
  for (const [key, value] of own) query.set(key, value)
  return query.size > 0 ? `${path}?${query}` : path
}

/** leads is where a link to a path leads from where the browser is; go goes there. */
export const leads = (to: string) => leading(placeOf(current()), to)
export const go = (to: string) => navigate(leads(to))

/** match returns the parameters of a path such as `/w/:workspace/campaigns`, or null. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split('/')
  const given = path.replace(/\/+$/, '').split('/')
  if (wanted.length !== given.length) return null
  const found: Record<string, string> = {}
  for (const [i, part] of wanted.entries()) {
    const value = given[i] ?? ''
    if (!part.startsWith(':')) {
      if (part !== value) return null
      continue
    }
    try {
      found[part.slice(1)] = decodeURIComponent(value)
    } catch {
      return null
    }
  }
  return found
}

/** Paths of the page. */
export const paths = {
  campaigns: (workspace: string) => `/w/${encodeURIComponent(workspace)}/campaigns`,
  campaign: (workspace: string, campaign: string) =>
    `/w/${encodeURIComponent(workspace)}/campaigns/${encodeURIComponent(campaign)}`,
  credits: (workspace: string) => `/w/${encodeURIComponent(workspace)}/settings/credits`,
  history: (workspace: string) => `/w/${encodeURIComponent(workspace)}/settings/credits/history`,
  alerts: (workspace: string) => `/w/${encodeURIComponent(workspace)}/settings/alerts`,
  access: (workspace: string) => `/w/${encodeURIComponent(workspace)}/settings/access`,
  workspaces: () => '/workspaces',
}
