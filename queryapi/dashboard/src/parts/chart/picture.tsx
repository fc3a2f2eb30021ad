import { memo, useId } from 'react'
import { compact } from '../../format'
import { LevelLines } from '../levellines'
import { type Drawing, room, type Size } from './drawing'
import type { Data, Mark, View } from './model'
import type { Tick } from './ticks'

type Props = { drawing: Drawing; data: Data; view: View; ticks: Tick[]; size: Size }

/**
 * Picture is what does not follow the pointer, drawn anew only when figures, view or size change. It is hidden
 * from who hears the page: the cursor over it tells every bucket, and there is the table.
 */
export const Picture = memo(function Picture({ drawing, data, view, ticks, size: { width, height } }: Props) {
  const id = useId()
  const { x, y } = drawing
  const bottom = height - room.bottom
  return (
    <svg width={width} height={height} aria-hidden="true" focusable="false">
      <defs>
        <pattern id={`${id}n`} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect className="chart-none" width="3" height="5" />
        </pattern>
        <pattern id={`${id}p`} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect className="chart-hatch" width="2.5" height="6" />
        </pattern>
      </defs>
      <g className="chart-grid">
        {y.ticks(4).map((value) => (
          <g key={value} transform={`translate(0 ${y(value)})`}>
            <line x1={room.left} x2={width - room.right} className={value === 0 ? 'chart-zero' : ''} />
            <text x={room.left - 8} dy="0.32em" textAnchor="end">
              {compact(value)}
            </text>
          </g>
        ))}
      </g>
      {drawing.ahead ? <path className="chart-band" d={drawing.ahead.band} /> : null}
      {drawing.layers.map(({ key, tone, fill, edge }) => (
        <g key={key} className={`tone-fill-${tone} chart-${view}`}>
          <path d={fill} fill={tone === 'none' ? `url(#${id}n)` : undefined} />
          {edge ? <path className={`chart-edge tone-line-${tone}`} d={edge} /> : null}
        </g>
      ))}
      {drawing.partial ? <path d={drawing.partial} fill={`url(#${id}p)`} /> : null}
      {drawing.previous ? (
        <>
          <path className="chart-previous chart-previous-under" d={drawing.previous} />
          <path className="chart-previous" d={drawing.previous} />
        </>
      ) : null}
      {drawing.ahead ? <path className="chart-ahead" d={drawing.ahead.line} /> : null}
      <LevelLines levels={drawing.levels} y={y} left={room.left} right={width - room.right} />
      <Times ticks={ticks} x={x} bottom={bottom} width={width} />
      {data.now !== null && data.now > data.from && data.now < data.to ? (
        <g className="chart-now">
          <line x1={x(data.now)} x2={x(data.now)} y1={room.top - 4} y2={bottom} />
          <text x={x(data.now)} y={room.top - 5} textAnchor={x(data.now) > width - 40 ? 'end' : 'middle'}>
            Now
          </text>
        </g>
      ) : null}
      <Marks marks={data.marks} x={x} bottom={bottom} width={width} />
    </svg>
  )
})

function Times({ ticks, x, bottom, width }: { ticks: Tick[]; x: Drawing['x']; bottom: number; width: number }) {
  const anchor = (at: number) => (x(at) < room.left + 16 ? 'start' : x(at) > width - room.right - 16 ? 'end' : 'middle')
  return (
    <g className="chart-times">
      {ticks.map(({ at, text }) => (
        <g key={at}>
          <line x1={x(at)} x2={x(at)} y1={bottom} y2={bottom + 4} />
          <text x={x(at)} y={bottom + 18} textAnchor={anchor(at)}>
            {text}
          </text>
        </g>
      ))}
    </g>
  )
}

const markShapes: Record<Mark['kind'], string> = {
  grant: 'M0 -5V5M-5 0H5',
  expiry: 'M-4 -4L4 4M-4 4L4 -4',
  started: 'M-3.5 -4.5L4.5 0L-3.5 4.5Z',
  paused: 'M-3 -4V4M3 -4V4',
}

/** markRadius is how big a mark is, in pixels. */
const markRadius = 7

/** Marks stand on the axis, within it: a figure beside it is not covered. What they say is told where the cursor is. */
function Marks({ marks, x, bottom, width }: { marks: Mark[]; x: Drawing['x']; bottom: number; width: number }) {
  const within = (at: number) => Math.min(Math.max(x(at), room.left + markRadius), width - room.right - markRadius)
  return (
    <g>
      {marks.map(({ at, kind, text }) => (
        <g
          key={`${at} ${kind} ${text}`}
          className={`chart-mark chart-mark-${kind}`}
          transform={`translate(${within(at)} ${bottom})`}
        >
          <circle r={markRadius} />
          <path d={markShapes[kind]} />
        </g>
      ))}
    </g>
  )
}
