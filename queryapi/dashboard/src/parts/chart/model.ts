/** Tone is which colour and shape a series has; `other` is what is past the top, `none` is unattributed. */
export type Tone = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 'other' | 'none'

/** Series is what one thing used, bucket by bucket. */
export type Series = {
  key: string
  name: string
  tone: Tone
  /** Exact decimal strings, one for each bucket. */
  amounts: string[]
  /** The same as floats: good enough for where a bar ends. */
  values: number[]
  /** Exact, of all buckets. */
  total: string
}

/** Bucket is [start, end) in milliseconds. One that is not complete is drawn to its end and may still grow. */
export type Bucket = { start: number; end: number; complete: boolean }

/** Ahead is what is expected in [start, end), and by its end in total since the first of them. */
export type Ahead = {
  start: number
  end: number
  value: number
  low: number
  high: number
  sum: { value: number; low: number; high: number }
}

/** Mark is something that happened, told on the axis of time. */
export type Mark = { at: number; text: string; kind: 'grant' | 'expiry' | 'started' | 'paused' }

/** Level is a value to be seen against, such as 75 % of a quota. */
export type Level = { value: number; name: string }

/** View is whether each bucket stands for itself or for all up to its end. */
export type View = 'bars' | 'cumulative'

/** Data is what a chart shows. */
export type Data = {
  from: number
  to: number
  /** Where usage ends; null: the range has passed. */
  now: number | null
  buckets: Bucket[]
  series: Series[]
  /** The period before, bucket by bucket; null: not compared. */
  previous: { amounts: string[]; values: number[] } | null
  ahead: Ahead[]
  marks: Mark[]
  /** Lines to see a course against; of `cumulative` alone. */
  levels: Level[]
}

/** Stop is where the cursor can stand: a bucket of usage, one that is to come, or the one that is both. */
export type Stop = { start: number; end: number; used: number; ahead: number }

/** stopsOf are the buckets in order; -1 where there is no usage or nothing expected. */
export function stopsOf({ buckets, ahead }: Pick<Data, 'buckets' | 'ahead'>): Stop[] {
  const stops: Stop[] = buckets.map(({ start, end }, used) => ({ start, end, used, ahead: -1 }))
  for (const [i, { start, end }] of ahead.entries()) {
    const last = stops.at(-1)
    if (last && start < last.end) last.ahead = i
    else stops.push({ start, end, used: -1, ahead: i })
  }
  return stops
}

/** stopAt is the index of the stop that an instant is in, or the nearest; -1: there are none. */
export function stopAt(stops: Stop[], at: number): number {
  let low = 0
  let high = stops.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((stops[middle]?.start ?? 0) <= at) low = middle
    else high = middle - 1
  }
  return high < 0 ? -1 : low
}
