import type { QueryState } from '@tanstack/react-query'
import { describe, expect, it } from 'vitest'
import { due } from './live'

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
