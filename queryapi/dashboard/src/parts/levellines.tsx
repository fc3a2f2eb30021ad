import type { Level } from './chart/model'
import { labelled } from './levels'

type Props = { levels: Level[]; y: (value: number) => number; left: number; right: number }

/** LevelLines draws levels across a chart, from left to right in pixels; y is where a figure is. */
export function LevelLines({ levels, y, left, right }: Props) {
  return labelled(levels, y).map(({ name, value, at, label }) => (
    <g key={`${name} ${value}`} className="level">
      <line x1={left} x2={right} y1={at} y2={at} />
      <text x={left + 4} y={label}>
        {name}
      </text>
    </g>
  ))
}
