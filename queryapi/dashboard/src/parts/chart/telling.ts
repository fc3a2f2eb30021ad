import { decimal, micro } from '../../credits'
import { amount, clock, day, dayShort, instant, month, rounded } from '../../format'
import type { Data, Stop, Tone, View } from './model'

/** Row is a line beside the cursor: an exact amount as a decimal string, or an estimate as it is written. */
export type Row = { tone: Tone | 'total' | 'previous' | 'ahead'; name: string; value: string }

/** Told is what is said of a bucket: seen, and as words. */
export type Told = { title: string; notes: string[]; rows: Row[]; more: number; words: string }

export type Telling = (stop: Stop) => Told

/** mostRows is how many series are listed beside the cursor. */
const mostRows = 9

type Context = { data: Data; view: View; hidden: ReadonlySet<string>; zone: string; bucket: string; expected?: string }

/** teller knows what to say of a bucket. Sums up to it are added exactly. */
export function teller({ data, view, hidden, zone, bucket }: Context): Telling {
  const shown = data.series.filter((one) => !hidden.has(one.key))
  const of = (amounts: string[], at: number) => decimal(view === 'bars' ? micro(amounts[at] ?? '0') : sumTo(amounts, at))
  return (stop) => {
    const title = spanText(stop.start, stop.end, zone, bucket)
    const notes = data.marks.filter((m) => m.at >= stop.start && m.at < stop.end).map((m) => m.text)
    const rows: Row[] = []
    let more = 0
    if (stop.used >= 0) {
      const used = shown.map((one) => ({ tone: one.tone, name: one.name, value: of(one.amounts, stop.used) }))
      const some = used.filter((row) => row.value !== '0').toSorted((a, b) => Number(b.value) - Number(a.value))
      rows.push(...some.slice(0, mostRows))
      more = Math.max(some.length - mostRows, 0)
      if (used.length !== 1) rows.push({ tone: 'total', name: 'Total', value: total(used.map((row) => row.value)) })
      else if (rows.length === 0) rows.push(...used)
      if (data.previous?.amounts[stop.used] !== undefined && hidden.size === 0) {
        rows.push({ tone: 'previous', name: 'Period before', value: of(data.previous.amounts, stop.used) })
      }
      if (data.buckets[stop.used]?.complete === false) notes.unshift('Still being counted')
    }
    const told = rows.map((row) => `${row.name} ${amount(row.value)}`)
    const ahead = data.ahead[stop.ahead]
    const lines = [...rows]
    if (ahead && hidden.size === 0) {
      const line = aheadRow(data, ahead, view, stop.used >= 0)
      lines.push(line)
      told.push(`${line.name} ${line.value}`)
    }
    return { title, notes, rows: lines, more, words: [title, ...notes, ...told].join('. ') }
  }
}

function aheadRow(data: Data, ahead: Data['ahead'][number], view: View, under: boolean): Row {
  if (view === 'bars') {
    return { tone: 'ahead', name: under ? 'Still expected' : 'Expected', value: rounded(ahead.value) }
  }
  const used = data.series.reduce((sum, one) => sum + Number(one.total), 0)
  const { value, low, high } = ahead.sum
  return {
    tone: 'ahead',
    name: 'Expected by then',
    value: `${rounded(used + value)} (${rounded(used + low)} to ${rounded(used + high)})`,
  }
}

function sumTo(amounts: string[], at: number): bigint {
  let sum = 0n
  for (let i = 0; i <= at && i < amounts.length; i++) sum += micro(amounts[i] ?? '0')
  return sum
}

const total = (values: string[]) => decimal(values.reduce((sum, value) => sum + micro(value), 0n))

/** spanText writes a bucket as people call it; one that is cut off is told by its instants. */
export function spanText(start: number, end: number, zone: string, bucket: string): string {
  const whole = clock(start, zone) === '00:00' && clock(end, zone) === '00:00'
  if (bucket === '1mo' && whole && dayShort(start, zone) !== dayShort(end - 1, zone)) {
    return month(start, zone) === month(end - 1, zone) && month(end, zone) !== month(start, zone) && isFirst(start, zone)
      ? month(start, zone)
      : `${day(start, zone)} to ${day(end - 1, zone)}`
  }
  if (whole) {
    return day(start, zone) === day(end - 1, zone) ? day(start, zone) : `${dayShort(start, zone)} to ${day(end - 1, zone)}`
  }
  return day(start, zone) === day(end, zone) || clock(end, zone) === '00:00'
    ? `${instant(start, zone)} to ${clock(end, zone)}`
    : `${instant(start, zone)} to ${instant(end, zone)}`
}

const isFirst = (at: number, zone: string) => month(at - 1, zone) !== month(at, zone)
