import { area, curveLinear, line } from 'd3-shape'
import type { Layer } from './stack'

/** A path is built as text: one node of the page for each series, however many bars it has. */

export type Scale = (value: number) => number
export type Span = { start: number; end: number }

const px = (value: number) => Math.round(value * 10) / 10

/** gapOf is the space between bars: none where they are too thin for one. */
const gapOf = (width: number) => (width > 12 ? 2 : width > 4 ? 1 : 0)

/** bars draws the spans that are let through, each from one value to another. */
export function bars(spans: Span[], layer: Layer, x: Scale, y: Scale, only: (index: number) => boolean = () => true): string {
  let path = ''
  for (let i = 0; i < spans.length; i++) {
    const from = layer.from[i] ?? 0
    const to = layer.to[i] ?? 0
    const span = spans[i]
    if (from === to || !span || !only(i)) continue
    const left = x(span.start)
    const width = x(span.end) - left
    const right = left + Math.max(width - gapOf(width), 0.7)
    path += `M${px(left)} ${px(y(from))}H${px(right)}V${px(y(to))}H${px(left)}Z`
  }
  return path
}

/** steps draws a line that is level over each span; where spans are apart it begins anew. */
export function steps(spans: Span[], values: number[], x: Scale, y: Scale): string {
  let path = ''
  let end = Number.NaN
  for (let i = 0; i < spans.length; i++) {
    const span = spans[i]
    if (!span) continue
    path += `${span.start === end ? 'L' : 'M'}${px(x(span.start))} ${px(y(values[i] ?? 0))}H${px(x(span.end))}`
    end = span.end
  }
  return path
}

/** Reach is from where to where something may be at an instant. */
export type Reach = { at: number; low: number; high: number }

/** band fills what lies between the lows and the highs. */
export const band = (reaches: Reach[], x: Scale, y: Scale): string =>
  area<Reach>()
    .x((r) => px(x(r.at)))
    .y0((r) => px(y(r.low)))
    .y1((r) => px(y(r.high)))
    .curve(curveLinear)(reaches) ?? ''

/** course draws a line through values at instants. */
export const course = (points: { at: number; value: number }[], x: Scale, y: Scale): string =>
  line<{ at: number; value: number }>()
    .x((p) => px(x(p.at)))
    .y((p) => px(y(p.value)))(points) ?? ''
