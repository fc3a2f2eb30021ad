import type { DryRun } from '../../api/alerts'

/** Span is a part of the strip in percent of its width. */
export type Span = { from: number; to: number }

/** thin is what a span is drawn at the least, and what is closer together than that is one, in percent of the width. */
const thin = 0.4

/** stripOf is when a rule would have been firing, of any subject, in order and apart. */
export function stripOf({ from, to, items }: Pick<DryRun, 'from' | 'to' | 'items'>): Span[] {
  const begin = Date.parse(from)
  const whole = Date.parse(to) - begin
  if (!(whole > 0)) return []
  const at = (instant: string) => Math.min(Math.max(((Date.parse(instant) - begin) / whole) * 100, 0), 100)
  const spans = items
    .map((item) => {
      const end = item.resolved_at === null ? 100 : at(item.resolved_at)
      const start = Math.min(at(item.fired_at), 100 - thin)
      return { from: start, to: Math.max(end, start + thin) }
    })
    .sort((a, b) => a.from - b.from)
  const apart: Span[] = []
  for (const span of spans) {
    const last = apart.at(-1)
    if (last && span.from <= last.to + thin) last.to = Math.max(last.to, span.to)
    else apart.push(span)
  }
  return apart
}
