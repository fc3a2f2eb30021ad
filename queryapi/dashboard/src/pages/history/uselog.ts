import { type InfiniteData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef } from 'react'
import { api, body, type Schemas } from '../../api/client'
import { noteServerTime } from '../../api/clock'
import { type HistoryQuery, queryClient } from '../../api/queries'
import { join, one } from './log'

type Page = Schemas['History']

/** pageRows is what one page has; largestPage is the most the API gives. */
const pageRows = 100
const largestPage = 1000
/** restateEvery bounds how often all that is shown is asked for again, in milliseconds. */
const restateEvery = 10_000

async function ask(workspace: string, query: HistoryQuery, cursor: string, limit: number, signal?: AbortSignal): Promise<Page> {
  const page = await body(
    api.GET('/v1/workspaces/{workspace_id}/history', {
      params: { path: { workspace_id: workspace }, query: { ...query, limit, ...(cursor ? { cursor } : {}) } },
      ...(signal ? { signal } : {}),
    }),
  )
  noteServerTime(page.freshness.at)
  return page
}

/** askAll asks for at least so many rows from the newest on. */
async function askAll(workspace: string, query: HistoryQuery, rows: number): Promise<Page> {
  const pages: Page[] = []
  let cursor: string | null = ''
  let missing = rows
  while (cursor !== null && missing > 0) {
    const page: Page = await ask(workspace, query, cursor, Math.min(Math.max(missing, pageRows), largestPage))
    pages.push(page)
    missing -= page.items.length
    cursor = page.next_cursor
  }
  return one(pages) as Page
}

type Options = {
  /** Whether there may be anything new: the range is open, or ends in the future. */
  live: boolean
  /** Nothing may move for now: somebody reads further down, or is about to press something. */
  hold: boolean
}

/**
 * useLog is an endless list of the history that stays right: older pages come by cursor, the newest one with every
 * event. New rows wait in `waiting` while the list is held.
 */
export function useLog(workspace: string, query: HistoryQuery, { live, hold }: Options) {
  // Not among what the stream moves (api/live.ts): all pages would be asked for with every event.
  const key = ['log', workspace, query]
  const newestKey = ['w', workspace, 'history', query]
  const list = useInfiniteQuery({
    queryKey: key,
    queryFn: async ({ signal, pageParam }) => {
      const page = await ask(workspace, query, pageParam, pageRows, signal)
      if (pageParam === '') queryClient.setQueryData(newestKey, page)
      return page
    },
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: (previous: InfiniteData<Page, string> | undefined) => previous,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  })
  const newest = useQuery({
    queryKey: newestKey,
    queryFn: ({ signal }) => ask(workspace, query, '', pageRows, signal),
    enabled: live && list.isSuccess && !list.isPlaceholderData,
  })
  const usable = live && !list.isPlaceholderData
  const shown = useMemo(() => list.data && one(list.data.pages), [list.data])
  const joined = useMemo(() => (usable && shown && newest.data ? join(shown, newest.data) : null), [usable, shown, newest.data])
  const held = hold && (joined?.fresh ?? 0) > 0
  const current = useRef({ key, joined, shown, workspace, query, restated: false, restatedAt: Number.NEGATIVE_INFINITY })
  Object.assign(current.current, { key, joined, shown, workspace, query })

  /** show lets what waits into the list. */
  const show = useCallback(() => {
    const { key, joined } = current.current
    if (!joined) return
    if (joined.seam === 'restated') current.current.restated = true
    queryClient.setQueryData(key, { pages: [joined.page], pageParams: [''] })
  }, [])

  const idle = !list.isFetching && joined !== null
  const stamp = newest.dataUpdatedAt
  // biome-ignore lint/correctness/useExhaustiveDependencies: once with every newest page
  useEffect(() => {
    if (!idle || held) return
    show()
    if (!current.current.restated) return
    const wait = current.current.restatedAt + restateEvery - performance.now()
    const timer = window.setTimeout(() => void restate(), Math.max(wait, 0))
    return () => window.clearTimeout(timer)
  }, [stamp, idle, held, show])

  const restate = async () => {
    const { key, shown, workspace, query } = current.current
    Object.assign(current.current, { restated: false, restatedAt: performance.now() })
    try {
      const page = await askAll(workspace, query, shown?.items.length ?? 0)
      // Not what was let go of meanwhile.
      if (queryClient.getQueryState(key)) queryClient.setQueryData(key, { pages: [page], pageParams: [''] })
    } catch {
      current.current.restated = true // tried again with the next newest page
    }
  }

  return {
    list,
    page: shown,
    /** How many rows wait; there may be more of them than a page holds. */
    waiting: held && joined ? { rows: joined.fresh, more: joined.seam === 'gap' } : null,
    show,
    /** The newest page cannot be had: what is shown gets older. */
    failing: newest.isError ? newest.error : null,
  }
}
