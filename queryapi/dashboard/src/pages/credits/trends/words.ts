import type { Schemas } from '../../../api/client'
import { decimal, isZero, less, micro, sum } from '../../../credits'
import { amount, day, percent, rounded } from '../../../format'

type Usage = Schemas['Usage']

/** refundsOf is what was given back in the range, exactly. */
export const refundsOf = ({ series, other }: Usage): string =>
  sum([...series, ...(other ? [other] : [])].flatMap((one) => one.points.map((p) => p.refunds)))

/** Delta is a total against the one before. */
export type Delta = { way: 'more' | 'fewer' | 'same'; text: string }

/** deltaOf says how much more or less was used than in as many buckets before; null: not known. */
export function deltaOf({ total, previous }: Pick<Usage, 'total' | 'previous'>): Delta | null {
  if (!previous || previous.points.length === 0) return null
  if (isZero(previous.total)) return isZero(total) ? null : { way: 'more', text: 'Nothing was used in the same time before' }
  const difference = micro(total) - micro(previous.total)
  if (difference === 0n) return { way: 'same', text: 'As many as in the same time before' }
  const way = difference > 0n ? 'more' : 'fewer'
  const size = amount(decimal(difference < 0n ? -difference : difference))
  const share = Number(previous.total) > 0 ? (Number(decimal(difference)) / Number(previous.total)) * 100 : null
  const part = share === null ? '' : ` (${share > 0 ? '+' : ''}${percent(share)})`
  return { way, text: `${size} ${way}${part} than in the same time before` }
}

/** Outcome is what a range comes to as things go. */
export type Outcome = { text: string; warning: string | null }

/** outcomeOf says what a range that goes on will come to, and warns of more than what remains; null: it is over, or not known. */
export function outcomeOf(usage: Usage, remaining: string | null, zone: string): Outcome | null {
  const last = usage.forecast.at(-1)
  if (!last) return null
  const used = Number(usage.total)
  const [p10, p50, p90] = [last.p10, last.p50, last.p90].map((p) => rounded(used + Number(p)))
  const end = day(Date.parse(last.end) - 1, zone)
  const warning = remaining === null ? null : warningOf(last.p50, remaining, end)
  return { text: `Forecast to ${end}: ${p50} (${p10} to ${p90})`, warning }
}

/** warningOf says that more is expected than remains; null: it does not. */
function warningOf(expected: string, remaining: string, end: string): string | null {
  const beyond = less(expected, remaining)
  if (micro(beyond) <= 0n || micro(expected) <= 0n) return null
  const more = `At this rate ${rounded(expected)} more credits are used by ${end}`
  if (micro(remaining) <= 0n) return `${more}, and none remain.`
  return `${more}. That is ${rounded(beyond)} more than remain now.`
}
