import { type InfiniteData, keepPreviousData, QueryClient, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { ApiError, api, body, type Schemas, type Scope } from './client'
import { noteServerTime } from './clock'
import type { paths } from './schema'

type QueryOf<Path extends keyof paths> = paths[Path] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never

export type UsageQuery = QueryOf<'/v1/workspaces/{workspace_id}/usage'>
export type CampaignsQuery = QueryOf<'/v1/workspaces/{workspace_id}/campaigns'>
export type HistoryQuery = QueryOf<'/v1/workspaces/{workspace_id}/history'>
export type ProjectionQuery = QueryOf<'/v1/workspaces/{workspace_id}/projection'>
export type WorkspacesQuery = QueryOf<'/v1/workspaces'>

/** worthRetrying says whether asking again may help: nothing is wrong with the question. */
export function worthRetrying(error: unknown) {
  if (!(error instanceof ApiError)) return false
  return error.status === 0 || error.status === 429 || error.status >= 500
}

/** retryDelay is in milliseconds: what the server asks for, else 1, 2, 4 up to 30 s with jitter. */
export function retryDelay(attempt: number, error: unknown) {
  if (error instanceof ApiError && error.retryAfter > 0) return Math.min(error.retryAfter, 60) * 1000
  return Math.min(1000 * 2 ** attempt, 30_000) * (0.75 + Math.random() / 2)
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The stream says when a figure has changed; this is for when there is none.
      staleTime: 30_000,
      retry: (count, error) => count < 2 && worthRetrying(error),
      retryDelay,
      // What failed is asked for again by itself: an outage ends without anybody pressing anything.
      refetchInterval: (query) => (query.state.status === 'error' && worthRetrying(query.state.error) ? 10_000 : false),
      refetchOnWindowFocus: true,
    },
  },
})

/** told notes the server's time of an answer with freshness. */
function told<T extends { freshness: Schemas['Freshness'] }>(answer: T): T {
  noteServerTime(answer.freshness.at)
  return answer
}

const of = (workspace_id: string) => ({ path: { workspace_id } })

export function useMe() {
  return useQuery({ queryKey: ['me'], queryFn: ({ signal }) => body(api.GET('/v1/me', { signal })), staleTime: 60_000 })
}

/** can says whether somebody has a scope on a workspace. */
export function can(me: Schemas['Me'] | undefined, workspace: string, scope: Scope) {
  return me?.workspaces.some((w) => w.workspace_id === workspace && w.scopes.includes(scope)) ?? false
}

export const balanceKey = (workspace: string) => ['w', workspace, 'balance'] as const

export function useBalance(workspace: string) {
  return useQuery({
    queryKey: balanceKey(workspace),
    queryFn: ({ signal }) => body(api.GET('/v1/workspaces/{workspace_id}/balance', { params: of(workspace), signal })).then(told),
  })
}

export function useUsage(workspace: string, query: UsageQuery, enabled = true) {
  return useQuery({
    queryKey: ['w', workspace, 'usage', query],
    queryFn: ({ signal }): Promise<Schemas['Usage']> =>
      body(api.GET('/v1/workspaces/{workspace_id}/usage', { params: { ...of(workspace), query }, signal })).then(told),
    placeholderData: keepPreviousData,
    enabled,
  })
}

/** firstPage and nextPages are how many campaigns are asked for: who goes on means to see them all. */
const firstPage = 100
const nextPages = 500

/** pages of a list, one after another by cursor. */
export function useCampaigns(workspace: string, query: CampaignsQuery, enabled = true) {
  return useInfiniteQuery({
    queryKey: ['w', workspace, 'campaigns', query],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/campaigns', {
          params: {
            ...of(workspace),
            query: { limit: pageParam ? nextPages : firstPage, ...query, ...(pageParam ? { cursor: pageParam } : {}) },
          },
          signal,
        }),
      ).then(told),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    enabled,
  })
}

export function useCampaign(
  workspace: string,
  campaign_id: string,
  query: QueryOf<'/v1/workspaces/{workspace_id}/campaigns/{campaign_id}'>,
) {
  return useQuery({
    queryKey: ['w', workspace, 'campaign', campaign_id, query],
    queryFn: ({ signal }): Promise<Schemas['CampaignDetail']> =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/campaigns/{campaign_id}', {
          params: { path: { workspace_id: workspace, campaign_id }, query },
          signal,
        }),
      ).then(told),
    placeholderData: keepPreviousData,
  })
}

export function useHistory(workspace: string, query: HistoryQuery, enabled = true) {
  return useInfiniteQuery({
    queryKey: ['w', workspace, 'history', query],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/history', {
          params: { ...of(workspace), query: { limit: 100, ...query, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ).then(told),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    enabled,
  })
}

/** outlookEvery is how often a projection is asked for, in milliseconds: it is made anew by the half minute. */
const outlookEvery = 60_000

export function useProjection(workspace: string, query: ProjectionQuery, enabled = true) {
  return useQuery({
    queryKey: ['w', workspace, 'projection', query],
    queryFn: ({ signal }): Promise<Schemas['Outlook']> =>
      body(api.GET('/v1/workspaces/{workspace_id}/projection', { params: { ...of(workspace), query }, signal })).then(told),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.status === 'error' ? (worthRetrying(state.error) ? 10_000 : false) : outlookEvery),
    enabled,
  })
}

/** rows are the items of all pages that are at hand. */
export function rows<T>(data: InfiniteData<{ items: T[] }> | undefined): T[] {
  return data?.pages.flatMap((page) => page.items) ?? []
}
