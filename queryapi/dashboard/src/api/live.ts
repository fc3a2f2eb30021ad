import type { QueryCacheNotifyEvent, QueryState } from '@tanstack/react-query'
import { useEffect, useSyncExternalStore } from 'react'
import type { Schemas } from './client'
import { noteServerTime } from './clock'
import { balanceKey, newer, queryClient } from './queries'
import { retryDelay, waits } from './trouble'

/** How the stream of a workspace is: `live`, being connected, or not to be had for now. */
export type LiveState = 'live' | 'connecting' | 'off'

/** What the stream said last. */
export type Live = { state: LiveState; freshness: Schemas['Freshness'] | null; alert: Schemas['LiveAlert'] | null }

/** refreshEvery bounds how often what the stream does not carry is asked for, in milliseconds. */
const refreshEvery = 1_000
/** pollEvery is how often figures are asked for while there is no stream, in milliseconds. */
const pollEvery = 15_000
/** silentAfter is when a stream that says nothing counts as cut, in milliseconds: it says every 2 s how fresh it is. */
const silentAfter = 30_000
/** hiddenAfter is how long a hidden page keeps its stream, in milliseconds. */
const hiddenAfter = 60_000

const idle: Live = { state: 'connecting', freshness: null, alert: null }

/** A room is the one stream of a workspace, however many parts of the page look at it. */
class Room {
  live: Live = idle
  private listeners = new Set<() => void>()
  private source: EventSource | null = null
  private attempts = 0
  private timer = 0
  private poll = 0
  private silent = 0
  private hidden = 0
  /** By a clock that nobody sets. */
  private refreshAt = Number.NEGATIVE_INFINITY
  private refreshTimer = 0
  private answers = () => {}

  constructor(readonly workspace: string) {}

  /** join is one function for as long as the room is: another one would join anew with every rendering. */
  join = (listener: () => void) => {
    this.listeners.add(listener)
    if (this.listeners.size === 1) {
      document.addEventListener('visibilitychange', this.seen)
      this.answers = queryClient.getQueryCache().subscribe(this.answered)
      this.connect()
    }
    return () => {
      this.listeners.delete(listener)
      if (this.listeners.size === 0) {
        document.removeEventListener('visibilitychange', this.seen)
        this.answers()
        this.close()
        this.live = idle
      }
    }
  }

  private set(change: Partial<Live>) {
    this.live = { ...this.live, ...change }
    for (const listener of this.listeners) listener()
  }

  private seen = () => {
    window.clearTimeout(this.hidden)
    if (document.hidden) this.hidden = window.setTimeout(() => this.close(), hiddenAfter)
    else if (!this.source) {
      this.connect()
      this.refresh()
    }
  }

  /** answered takes how fresh an answer is: without a stream that is all that tells. */
  private answered = (event: QueryCacheNotifyEvent) => {
    if (event.type !== 'updated' || event.action.type !== 'success') return
    const { queryKey, state } = event.query
    if (queryKey[0] !== 'w' || queryKey[1] !== this.workspace) return
    const freshness = freshnessOf(state.data)
    if (freshness && !(this.live.freshness && freshness.at <= this.live.freshness.at)) this.set({ freshness })
  }

  private connect() {
    this.drop()
    const source = new EventSource(`/v1/workspaces/${encodeURIComponent(this.workspace)}/live`)
    this.source = source
    this.heard()
    source.addEventListener('open', () => this.heard())
    source.addEventListener('balance', (event) => {
      this.heard()
      const balance = JSON.parse(event.data) as Schemas['Balance']
      noteServerTime(balance.freshness.at)
      queryClient.setQueryData<Schemas['Balance']>(balanceKey(this.workspace), (had) => newer(had, balance))
    })
    source.addEventListener('usage', () => this.refresh())
    source.addEventListener('freshness', (event) => {
      this.heard()
      const { freshness } = JSON.parse(event.data) as Schemas['LiveFreshness']
      noteServerTime(freshness.at)
      this.attempts = 0
      this.endPolling()
      const back = this.live.state === 'off'
      this.set({ state: 'live', freshness })
      // What happened meanwhile was told to nobody.
      if (back) this.everything()
    })
    source.addEventListener('alert', (event) => {
      this.set({ alert: JSON.parse(event.data) as Schemas['LiveAlert'] })
      void queryClient.invalidateQueries({ queryKey: ['w', this.workspace, 'alerts'] })
    })
    // A browser tries again by itself unless the server refused.
    source.onerror = () => this.lost(source.readyState === EventSource.CLOSED)
  }

  /** heard waits for the next that the stream says; a connection may be gone without either end knowing. */
  private heard() {
    window.clearTimeout(this.silent)
    this.silent = window.setTimeout(() => this.lost(true), silentAfter)
  }

  /** lost goes on without the stream, until it is back. */
  private lost(ended: boolean) {
    window.clearTimeout(this.silent)
    if (this.live.state !== 'off') this.set({ state: 'off' })
    // Not begun anew with every attempt that fails: it would never come to ask.
    if (!this.poll) this.poll = window.setInterval(() => this.everything(), pollEvery)
    // What a browser brings back by itself may hang as well.
    if (!ended) return this.heard()
    this.drop()
    this.timer = window.setTimeout(() => this.connect(), retryDelay(this.attempts++))
  }

  private endPolling() {
    window.clearInterval(this.poll)
    this.poll = 0
  }

  private drop() {
    window.clearTimeout(this.timer)
    window.clearTimeout(this.silent)
    this.source?.close()
    this.source = null
  }

  private close() {
    // Or it would close what somebody opens until then.
    window.clearTimeout(this.hidden)
    this.drop()
    this.endPolling()
    window.clearTimeout(this.refreshTimer)
  }

  private everything() {
    void queryClient.invalidateQueries({
      queryKey: ['w', this.workspace],
      predicate: ({ state }) => state.fetchStatus !== 'fetching' && !waits(state),
    })
  }

  /** refresh asks for what the stream does not carry, at most once a second. */
  private refresh() {
    window.clearTimeout(this.refreshTimer)
    const wait = Math.max(this.refreshAt + refreshEvery - performance.now(), 0)
    this.refreshTimer = window.setTimeout(() => {
      this.refreshAt = performance.now()
      let later = false
      void queryClient.invalidateQueries({
        queryKey: ['w', this.workspace],
        predicate: (query) => {
          if (!moving.has(String(query.queryKey[2]))) return false
          const now = due(query.state)
          later ||= !now && query.isActive()
          return now
        },
      })
      if (later) this.refresh()
    }, wait)
  }
}

/** moving is what changes with every event. */
const moving = new Set(['usage', 'campaigns', 'campaign', 'history'])

/**
 * due says whether to ask again: not while an answer is under way, which would be thrown away and never come on a
 * busy day, and of a list at most every so many seconds as it has pages, all of which are asked for one by one.
 */
export function due(state: QueryState): boolean {
  const { fetchStatus, dataUpdatedAt, data } = state
  if (fetchStatus === 'fetching' || waits(state)) return false
  const pages = (data as { pages?: unknown[] } | undefined)?.pages?.length ?? 1
  const age = Date.now() - dataUpdatedAt
  // Of what is to come the clock of the device was set back since.
  return age < 0 || age >= (pages - 1) * refreshEvery
}

/** freshnessOf is how fresh an answer or the last page of a list is. */
function freshnessOf(data: unknown): Schemas['Freshness'] | undefined {
  const { freshness, pages } = (data ?? {}) as {
    freshness?: Schemas['Freshness']
    pages?: { freshness?: Schemas['Freshness'] }[]
  }
  return freshness ?? pages?.at(-1)?.freshness
}

const rooms = new Map<string, Room>()

/** roomOf is the room of a workspace, whether anybody is in it or not. */
export function roomOf(workspace: string) {
  let room = rooms.get(workspace)
  if (!room) {
    room = new Room(workspace)
    rooms.set(workspace, room)
  }
  return room
}

/** useLive keeps the figures of a workspace moving for as long as the caller is shown. */
export function useLive(workspace: string): Live {
  const room = roomOf(workspace)
  const live = useSyncExternalStore(room.join, () => room.live)
  useEffect(() => {
    // A session may have ended while nobody looked: the first question says so.
    const back = () => void queryClient.invalidateQueries({ queryKey: ['me'] })
    window.addEventListener('online', back)
    return () => window.removeEventListener('online', back)
  }, [])
  return live
}
