import { describe, expect, it } from 'vitest'
import { running, stack } from './stack'

describe('stacking', () => {
  it('puts refunds below zero and the rest above', () => {
    const { layers, low, high } = stack([
      [3, -2],
      [4, 5],
      [-1, -3],
    ])
    expect(layers).toEqual([
      { from: [0, 0], to: [3, -2] },
      { from: [3, 0], to: [7, 5] },
      { from: [0, -2], to: [-1, -5] },
    ])
    expect([low, high]).toEqual([-5, 7])
  })
  it('is as high as the sum of what is positive, as low as that of what is negative', () => {
    const series = Array.from({ length: 8 }, (_, s) => Array.from({ length: 50 }, (_, i) => ((i * 7 + s * 13) % 11) - 4))
    const { low, high } = stack(series)
    const sums = Array.from({ length: 50 }, (_, i) => series.map((values) => values[i] ?? 0))
    expect(high).toBe(Math.max(...sums.map((at) => at.filter((v) => v > 0).reduce((a, b) => a + b, 0))))
    expect(low).toBe(Math.min(...sums.map((at) => at.filter((v) => v < 0).reduce((a, b) => a + b, 0))))
  })
  it('has zero in its reach also where there is nothing', () => {
    expect(stack([])).toEqual({ layers: [], low: 0, high: 0 })
    expect(running([1, -3, 5])).toEqual([1, -2, 3])
  })
})
