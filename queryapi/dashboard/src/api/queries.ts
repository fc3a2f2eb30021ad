import {
  type InfiniteData,
  keepPreviousData,
  type Query,
  QueryCache,
  QueryClient,
  useInfiniteQuery,
  useQuery,
} from '@tanstack/react-query'
import { ApiError, api, body, type Schemas, type Scope } from './client'
import type { paths } from './schema'
import { askAgain, retries, retryDelay } from './trouble'

type QueryOf<Path extends keyof paths> = paths[Path] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never

export type UsageQuery = QueryOf<'/v1/workspaces/{workspace_id}/usage'>
export type CampaignsQuery = QueryOf<'/v1/workspaces/{workspace_id}/campaigns'>
export type HistoryQuery = QueryOf<'/v1/workspaces/{workspace_id}/history'>
export type ProjectionQuery = QueryOf<'/v1/workspaces/{workspace_id}/projection'>
export type WorkspacesQuery = QueryOf<'/v1/workspaces'>

/** shed lets go of figures that whoever looks may not see any more, wherever the page shows them. */
function shed(error: unknown, query: Query<unknown, unknown, unknown>) {
  if (!(error instanceof ApiError)) return
  const me = query.queryKey[0] === 'me'
  if (error.status === 401) {
    // The next to sign in may be somebody else.
    if (me) forget()
    else void queryClient.invalidateQueries({ queryKey: ['me'] })
  }
  if (error.status === 403 && !me && query.state.data !== undefined) {
    query.setState({ data: undefined })
    // What else is shown was let in by the same permission.
    void queryClient.invalidateQueries({ queryKey: ['me'] })
    const [, workspace] = query.queryKey
    void queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[1] === workspace })
  }
}

/** forget drops figures from the cache: all of them, or those that are not of a workspace. */
export function forget(but?: { workspace: string | null }) {
  const filters = {
    predicate: ({ queryKey: [kind, of] }: { queryKey: readonly unknown[] }) =>
      kind !== 'me' && !(but && (but.workspace === null ? kind === 'workspaces' : of === but.workspace)),
  }
  // What is under way would bring them back.
  void queryClient.cancelQueries(filters)
  queryClient.removeQueries(filters)
  queryClient.getMutationCache().clear()
}

/** who is whose figures the cache has; empty: nobody's. */
let who = ''

/** greets is told who is there, with every answer that says so. */
let greets = (_subject: string) => {}

/** onMet has somebody told who is there. */
export function onMet(told: (subject: string) => void) {
  greets = told
}

/** met drops what another person left, who was signed in before. */
function met(data: unknown, query: Query<unknown, unknown, unknown>) {
  if (query.queryKey[0] !== 'me') return
  const { subject } = data as Schemas['Me']
  if (who !== '' && who !== subject) forget()
  who = subject
  greets(subject)
}

/** heardOf asks anew who is there if another window of this browser has met somebody else. */
export function heardOf(subject: string) {
  if (who !== '' && who !== subject) void queryClient.invalidateQueries({ queryKey: ['me'] })
}

/** leave is for who has signed out: nothing of theirs stays, in the cache or on the page. */
export function leave() {
  forget()
  who = ''
  const error = new ApiError(401, 'unauthorized', 'Signed out.')
  const me = queryClient.getQueryCache().find({ queryKey: ['me'] })
  // An answer that is under way would bring them back.
  void me?.cancel({ silent: true })
  // Those who look at it are told, so that the page shows that nobody is there.
  me?.setState({ data: undefined, error, status: 'error', fetchStatus: 'idle', errorUpdatedAt: Date.now() })
}

export const queryClient: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: shed, onSuccess: met }),
  defaultOptions: {
    queries: {
      // The stream says when a figure has changed; this is for when there is none.
      staleTime: 30_000,
      retry: retries,
      retryDelay,
      // What failed is asked for again by itself: an outage ends without anybody pressing anything.
      refetchInterval: (query) => (query.state.status === 'error' ? askAgain(query.state.error) : false),
      refetchOnWindowFocus: true,
      // Without a network as well: a question that is held back is never said to have failed.
      networkMode: 'always',
      refetchOnReconnect: true,
    },
    mutations: { networkMode: 'always' },
  },
})

const of = (workspace_id: string) => ({ path: { workspace_id } })

/** meEvery is how often the page asks who is there, in milliseconds: a permission may have come or gone. */
const meEvery = 30_000
/** backEvery is how often it asks while nobody is, who may have signed in beside it. */
const backEvery = 10_000

export function useMe() {
  return useQuery({
    queryKey: ['me'],
    queryFn: ({ signal }) => body(api.GET('/v1/me', { signal })),
    staleTime: 60_000,
    // Somebody else may have signed in while nobody looked here.
    refetchOnWindowFocus: 'always',
    refetchInterval: ({ state }) => {
      if (state.status !== 'error') return meEvery
      return Math.min(askAgain(state.error) || meEvery, backEvery)
    },
  })
}

/** can says whether somebody has a scope on a workspace. */
export function can(me: Schemas['Me'] | undefined, workspace: string, scope: Scope) {
  return me?.workspaces.some((w) => w.workspace_id === workspace && w.scopes.includes(scope)) ?? false
}

export const balanceKey = (workspace: string) => ['w', workspace, 'balance'] as const

/** mostLate is how much younger an answer may be that tells of less than one before it, in milliseconds. */
const mostLate = 60_000

/**
 * newer is which of two balances tells more. They come by the stream and by answers, and an answer may be overtaken
 * on its way. A revision that is smaller for longer than any answer takes is of a topic that has begun anew.
 */
export function newer<B extends Pick<Schemas['Balance'], 'revision' | 'freshness'>>(had: B | undefined, got: B): B {
  if (!had) return got
  const later = Date.parse(got.freshness.at) - Date.parse(had.freshness.at)
  if (got.revision === had.revision) return later < 0 ? had : got
  return got.revision < had.revision && later < mostLate ? had : got
}

export function useBalance(workspace: string, enabled = true) {
  return useQuery({
    queryKey: balanceKey(workspace),
    queryFn: async ({ signal }) => {
      const got = await body(api.GET('/v1/workspaces/{workspace_id}/balance', { params: of(workspace), signal }))
      return newer(queryClient.getQueryData(balanceKey(workspace)), got)
    },
    enabled,
  })
}

export function useUsage(workspace: string, query: UsageQuery, enabled = true) {
  return useQuery({
    queryKey: ['w', workspace, 'usage', query],
    queryFn: ({ signal }): Promise<Schemas['Usage']> =>
      body(api.GET('/v1/workspaces/{workspace_id}/usage', { params: { ...of(workspace), query }, signal })),
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
      ),
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
      ),
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
      ),
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
      body(api.GET('/v1/workspaces/{workspace_id}/projection', { params: { ...of(workspace), query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.status === 'error' ? askAgain(state.error) : outlookEvery),
    enabled,
  })
}

/** rows are the items of all pages that are at hand. */
export function rows<T>(data: InfiniteData<{ items: T[] }> | undefined): T[] {
  return data?.pages.flatMap((page) => page.items) ?? []
}
