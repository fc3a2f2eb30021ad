import { useInfiniteQuery } from '@tanstack/react-query'
import { api, body, type Schemas } from '../../api/client'
import { noteServerTime } from '../../api/clock'

/** Sort is the figure by which workspaces are listed; each has an order that puts first what needs looking at. */
export type Sort = 'runway' | 'remaining' | 'burn_rate'
export type Order = 'asc' | 'desc'

export const usual: Record<Sort, Order> = { runway: 'asc', remaining: 'asc', burn_rate: 'desc' }

/** refreshEvery is how old the server's own figures are at most, in milliseconds. */
const refreshEvery = 15_000
/** firstPage and nextPages are how many are asked for: who goes on means to see them all. */
const firstPage = 100
const nextPages = 1000

/** useWorkspaces is the headline figures of all workspaces, page by page. */
export function useWorkspaces(sort: Sort, order: Order) {
  return useInfiniteQuery({
    queryKey: ['workspaces', sort, order],
    queryFn: async ({ signal, pageParam }): Promise<Schemas['Workspaces']> => {
      const query = { sort, order, limit: pageParam ? nextPages : firstPage, ...(pageParam ? { cursor: pageParam } : {}) }
      const page = await body(api.GET('/v1/workspaces', { params: { query }, signal }))
      if (page.items[0]) noteServerTime(page.items[0].freshness.at)
      return page
    },
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: (previous) => previous,
    refetchInterval: refreshEvery,
  })
}
