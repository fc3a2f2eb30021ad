import { rows, useCampaigns } from '../../api/queries'
import { navigate, type Place, usePlace, withQuery } from '../../router'
import type { Campaign, Campaigns } from './words'

/** Sort is what the API orders campaigns by. */
export type Sort = 'used' | 'projected' | 'quota' | 'name'
export type Order = 'asc' | 'desc'
export type Status = NonNullable<Campaign['status']>

/** View is how the list is looked at; it stands in the address. */
export type View = { q: string; status: Status | null; sort: Sort; order: Order }

export const statuses: readonly Status[] = ['ACTIVE', 'PAUSED', 'COMPLETED', 'DRAFT']
const sorts: readonly Sort[] = ['used', 'projected', 'quota', 'name']

/** firstOrder is the order in which one wants to see a column first: letters from A, figures from the largest. */
export const firstOrder = (sort: Sort): Order => (sort === 'name' ? 'asc' : 'desc')

/** viewOf reads the address; what it does not know counts as not said. */
export function viewOf(query: URLSearchParams): View {
  const sort = sorts.find((s) => s === query.get('sort')) ?? 'used'
  const order = query.get('order')
  return {
    // The API takes no longer one.
    q: (query.get('q') ?? '').slice(0, 256),
    status: statuses.find((s) => s === query.get('status')) ?? null,
    sort,
    order: order === 'asc' || order === 'desc' ? order : firstOrder(sort),
  }
}

/** sorted is the change of the address when a column's heading is pressed: its first order, then the other. */
export function sorted(view: View, sort: Sort): Record<'sort' | 'order', string | null> {
  const order = view.sort !== sort ? firstOrder(sort) : view.order === 'asc' ? 'desc' : 'asc'
  return { sort: sort === 'used' ? null : sort, order: order === firstOrder(sort) ? null : order }
}

/** show changes the view without leaving a step to go back to. */
export function show(place: Place, changes: Record<string, string | null>) {
  navigate(withQuery(place, changes), { replace: true })
}

/** Range is what credits used are counted over; empty: the workspace's current period. */
export type Range = { from?: string; to?: string }

/** queryOf is what the API is asked. */
export function queryOf(view: View, range: Range) {
  const { q, status, sort, order } = view
  return { ...range, sort, order, ...(q ? { q } : {}), ...(status ? { status } : {}) }
}

/** List is as much of the list as is at hand. */
export type List = {
  items: Campaign[]
  from: string
  to: string
  total: Campaigns['total']
  unattributed: Campaigns['unattributed']
  /** Whether all that the filters let through are at hand. */
  whole: boolean
}

/** listOf puts pages together. A campaign that moved while they were read is in it once. */
export function listOf(pages: Campaigns[]): List | undefined {
  const last = pages.at(-1)
  if (!last) return undefined
  const seen = new Set<string>()
  const items = rows({ pages, pageParams: [] }).filter((item) => {
    // What no campaign used has a row of its own.
    if (item.campaign_id === '' || seen.has(item.campaign_id)) return false
    seen.add(item.campaign_id)
    return true
  })
  const { from, to, total, unattributed } = last
  return { items, from, to, total, unattributed, whole: last.next_cursor === null }
}

/** useCampaignList follows the list that the address asks for; not enabled: its range is not known yet. */
export function useCampaignList(workspace: string, range: Range, enabled = true) {
  const place = usePlace()
  const view = viewOf(place.query)
  const pages = useCampaigns(workspace, queryOf(view, range), enabled)
  const list = pages.data && listOf(pages.data.pages)
  // A next page that fails is told of at the end of the list; what is above it is right.
  return { place, view, pages, list, query: { ...pages, data: list, isError: pages.isError && !pages.isFetchNextPageError } }
}
