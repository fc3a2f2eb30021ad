import { QueryObserver, type QueryState } from '@tanstack/react-query'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { due, roomOf } from './live'
import { balanceKey, newer, queryClient } from './queries'

const state = (change: Partial<QueryState>) =>
  ({ fetchStatus: 'idle', dataUpdatedAt: Date.now(), data: {}, ...change }) as QueryState

describe('asking anew when something was used', () => {
  it('happens at once, but not while an answer is under way', () => {
    expect(due(state({}))).toBe(true)
    expect(due(state({ data: undefined }))).toBe(true)
    expect(due(state({ fetchStatus: 'fetching' }))).toBe(false)
  })
  it('is the rarer the longer a list is', () => {
    const list = { pages: Array(11) }
    expect(due(state({ data: list }))).toBe(false)
    expect(due(state({ data: list, dataUpdatedAt: Date.now() - 9_000 }))).toBe(false)
    expect(due(state({ data: list, dataUpdatedAt: Date.now() - 10_000 }))).toBe(true)
    expect(due(state({ data: { pages: Array(1) } }))).toBe(true)
  })
})

const at = (seconds: number) => new Date(Date.UTC(2026, 10, 26, 12, 0, seconds)).toISOString()
const balance = (revision: number, seconds: number, remaining = '1') => ({
  revision,
  remaining,
  freshness: { at: at(seconds), watermark: at(seconds), lag_seconds: 0 },
})

describe('of two balances', () => {
  it('the one that knows more stays, whichever comes last', () => {
    const [old, young] = [balance(7, 0), balance(8, 1)]
    expect(newer(undefined, old)).toBe(old)
    expect(newer(old, young)).toBe(young)
    expect(newer(young, old)).toBe(young)
  })
  it('the later one stays when nothing was counted in between: grants begin and end', () => {
    const [old, young] = [balance(7, 0), balance(7, 1)]
    expect(newer(old, young)).toBe(young)
    expect(newer(young, old)).toBe(young)
  })
  it('that of a server whose clock is behind stays as well, if it knows more', () => {
    const more = balance(8, 0)
    expect(newer(balance(7, 5), more)).toBe(more)
  })
  it('that of a topic which has begun anew is taken before long', () => {
    expect(newer(balance(7_000, 0), balance(3, 59)).revision).toBe(7_000)
    expect(newer(balance(7_000, 0), balance(3, 60)).revision).toBe(3)
  })
})

/** Stream is an EventSource of which the test is the server. */
class Stream extends EventTarget {
  static readonly CLOSED = 2
  static all: Stream[] = []
  readyState = 1
  onerror: (() => void) | null = null
  constructor(readonly url: string) {
    super()
    Stream.all.push(this)
  }
  close() {
    this.readyState = Stream.CLOSED
  }
  says(type: string, data: unknown) {
    this.dispatchEvent(Object.assign(new Event(type), { data: JSON.stringify(data) }))
  }
}

describe('the stream of a workspace', () => {
  const page = Object.assign(new EventTarget(), { hidden: false })
  const hide = (hidden: boolean) => {
    page.hidden = hidden
    page.dispatchEvent(new Event('visibilitychange'))
  }
  const open = () => Stream.all.filter(({ readyState }) => readyState !== Stream.CLOSED).length
  beforeEach(() => {
    vi.useFakeTimers()
    vi.stubGlobal('document', page)
    vi.stubGlobal('window', globalThis)
    vi.stubGlobal('EventSource', Stream)
    Stream.all = []
    hide(false)
  })
  afterEach(() => {
    vi.useRealTimers()
    vi.unstubAllGlobals()
    queryClient.clear()
  })
  const fresh = () => Stream.all.at(-1)?.says('freshness', { freshness: balance(1, 0).freshness, revision: 1 })

  it('is let go by a page that stays hidden, and is back when it is looked at', () => {
    const leave = roomOf('hidden').join(() => {})
    hide(true)
    vi.advanceTimersByTime(60_000)
    expect(open()).toBe(0)
    hide(false)
    expect(open()).toBe(1)
    leave()
    expect(open()).toBe(0)
  })

  it('is not closed by what was hidden before somebody came', () => {
    const leave = roomOf('again').join(() => {})
    hide(true)
    // Signed out by another window.
    leave()
    hide(false)
    const leaveAgain = roomOf('again').join(() => {})
    for (let seconds = 0; seconds < 120; seconds += 10) {
      vi.advanceTimersByTime(10_000)
      fresh()
    }
    expect(open()).toBe(1)
    leaveAgain()
  })

  it('is begun anew when it is silent for half a minute, also one that the browser is trying to bring back', () => {
    const leave = roomOf('silent').join(() => {})
    fresh()
    vi.advanceTimersByTime(31_500)
    expect(Stream.all.length).toBe(2)
    fresh()
    const stream = Stream.all.at(-1)
    // The connection is gone, and nothing answers to the next one.
    Object.assign(stream as Stream, { readyState: 0 })
    stream?.onerror?.()
    vi.advanceTimersByTime(31_500)
    expect(Stream.all.length).toBe(3)
    leave()
  })

  it('moves figures also when the clock of the device is set back', async () => {
    const leave = roomOf('clock').join(() => {})
    let asked = 0
    const options = { queryKey: ['w', 'clock', 'usage'], queryFn: async () => ++asked }
    const stop = new QueryObserver(queryClient, options).subscribe(() => {})
    await vi.advanceTimersByTimeAsync(2_000)
    Stream.all[0]?.says('usage', {})
    await vi.advanceTimersByTimeAsync(2_000)
    expect(asked).toBe(2)
    vi.setSystemTime(Date.now() - 3_600_000)
    Stream.all[0]?.says('usage', {})
    await vi.advanceTimersByTimeAsync(2_000)
    expect(asked).toBe(3)
    stop()
    leave()
  })

  it('takes no balance back', () => {
    const leave = roomOf('back').join(() => {})
    const held = () => queryClient.getQueryData(balanceKey('back'))
    Stream.all[0]?.says('balance', balance(8, 1, '8'))
    expect(held()).toMatchObject({ remaining: '8' })
    Stream.all[0]?.says('balance', balance(7, 0, '9'))
    expect(held()).toMatchObject({ remaining: '8' })
    leave()
  })
})
