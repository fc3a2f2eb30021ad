import { compact, dayShort } from '../../format'

/** room is what the axes take around the drawing, in pixels. */
export const room = { top: 12, right: 12, bottom: 24, left: 52 }

/** tickEvery is the least distance between ticks of time, in pixels: "28 Nov" and some air. */
export const tickEvery = 72

/** A scale is a linear one of d3. */
export type Linear = { (value: number): number; ticks: (count: number) => number[] }

/** Grid has the lines of values with their figures. */
export function Grid({ y, width }: { y: Linear; width: number }) {
  return (
    <g className="curve-grid">
      {y.ticks(4).map((value) => (
        <g key={value} transform={`translate(0 ${y(value)})`}>
          <line x1={room.left} x2={width - room.right} className={value === 0 ? 'curve-zero' : ''} />
          <text x={room.left - 8} dy="0.32em" textAnchor="end">
            {compact(value)}
          </text>
        </g>
      ))}
    </g>
  )
}

type TimeProps = {
  ticks: number[]
  x: (at: number) => number
  height: number
  width: number
  zone: string
}

/** Time has the days under the drawing; what would be cut off at an edge is moved in. */
export function Time({ ticks, x, height, width, zone }: TimeProps) {
  const anchor = (at: number) => (x(at) < room.left + 20 ? 'start' : x(at) > width - room.right - 20 ? 'end' : 'middle')
  return (
    <g>
      {ticks.map((tick) => (
        <text key={tick} x={x(tick)} y={height - 6} textAnchor={anchor(tick)}>
          {dayShort(tick, zone)}
        </text>
      ))}
    </g>
  )
}
