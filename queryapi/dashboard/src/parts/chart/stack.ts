/** Layer is where each value of a series begins and ends. */
export type Layer = { from: number[]; to: number[] }

/** stack puts values on each other: what is positive upwards from 0, what is negative (refunds) downwards. */
export function stack(series: number[][]): { layers: Layer[]; low: number; high: number } {
  const size = Math.max(0, ...series.map((values) => values.length))
  const up = new Array<number>(size).fill(0)
  const down = new Array<number>(size).fill(0)
  const layers = series.map((values) => {
    const from = new Array<number>(values.length)
    const to = new Array<number>(values.length)
    for (let i = 0; i < values.length; i++) {
      const value = values[i] ?? 0
      const side = value < 0 ? down : up
      from[i] = side[i] ?? 0
      side[i] = (from[i] ?? 0) + value
      to[i] = side[i] ?? 0
    }
    return { from, to }
  })
  return { layers, low: least(down), high: most(up) }
}

/** least and most are of 0 and all values; thousands of arguments are not every engine's thing. */
export const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b), 0)
export const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b), 0)

/** running is the sum up to each value. */
export function running(values: number[]): number[] {
  let sum = 0
  return values.map((value) => {
    sum += value
    return sum
  })
}
