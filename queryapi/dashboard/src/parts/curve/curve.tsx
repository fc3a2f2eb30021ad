import { scaleLinear } from 'd3-scale'
import { area, line } from 'd3-shape'
import { type PointerEvent, useState } from 'react'
import { day, instant, rounded } from '../../format'
import type { Level } from '../chart/model'
import { LevelLines } from '../levellines'
import { levelWords } from '../levels'
import { Grid, room, Time, tickEvery } from './axes'
import { dayTicks, nearest, type Point, valueAt } from './scale'
import { useWidth } from './width'
import './curve.css'

/** Line is one course of something; `base` is what another is compared with. */
export type Line = { name: string; points: Point[]; look: 'main' | 'base' }

type Props = {
  lines: Line[]
  zone: string
  /** What the curve shows, for who does not see it. */
  label: string
  /** Values to be seen against, such as a quota. */
  limits?: Level[]
  height?: number
}

/** Curve draws what is to come: lines over time, the first with its range. */
export function Curve({ lines, zone, label, limits = [], height = 220 }: Props) {
  const [frame, width] = useWidth<HTMLDivElement>()
  const [at, setAt] = useState<number | null>(null)
  const all = lines.flatMap((one) => one.points)
  const [from, to] = [Math.min(...all.map((p) => p.at)), Math.max(...all.map((p) => p.at))]
  const values = all.flatMap((p) => [p.value, p.low ?? p.value, p.high ?? p.value])
  const x = scaleLinear([from, to], [room.left, width - room.right])
  const y = scaleLinear(
    [Math.min(0, ...values), Math.max(0, ...values, ...limits.map((limit) => limit.value))],
    [height - room.bottom, room.top],
  ).nice(4)
  const over = (event: PointerEvent<SVGSVGElement>) => {
    const main = lines[0]?.points ?? []
    const pointed = x.invert(event.clientX - event.currentTarget.getBoundingClientRect().left)
    setAt(
      main[
        nearest(
          main.map((p) => p.at),
          pointed,
        )
      ]?.at ?? null,
    )
  }
  return (
    <div className="curve" ref={frame}>
      <svg
        role="img"
        aria-label={label}
        width={width}
        height={height}
        onPointerMove={over}
        onPointerDown={over}
        onPointerLeave={() => setAt(null)}
      >
        <Grid y={y} width={width} />
        <Time
          ticks={dayTicks(from, to, zone, Math.max((width - room.left) / tickEvery, 2))}
          x={x}
          height={height}
          width={width}
          zone={zone}
        />
        {lines.toReversed().map((one) => (
          <Course key={one.name} line={one} x={x} y={y} />
        ))}
        <LevelLines levels={limits} y={y} left={room.left} right={width - room.right} />
        {at !== null ? <line className="curve-at" x1={x(at)} x2={x(at)} y1={room.top} y2={height - room.bottom} /> : null}
      </svg>
      {at !== null ? <Pointed lines={lines} at={at} zone={zone} left={x(at)} width={width} /> : null}
      <Legend lines={lines} limits={limits} />
      <AsTable lines={lines} zone={zone} label={label} />
    </div>
  )
}

type Scale = (value: number) => number

function Course({ line: { points, look }, x, y }: { line: Line; x: Scale; y: Scale }) {
  const course = line<Point>()
    .x((p) => x(p.at))
    .y((p) => y(p.value))
  const band = area<Point>()
    .x((p) => x(p.at))
    .y0((p) => y(p.low ?? p.value))
    .y1((p) => y(p.high ?? p.value))
  return (
    <g className={`curve-${look}`}>
      {look === 'main' ? <path className="curve-band" d={band(points) ?? ''} /> : null}
      <path className="curve-line" d={course(points) ?? ''} />
    </g>
  )
}

/** Pointed tells what is under the pointer; the table below has it for everybody else. */
function Pointed({ lines, at, zone, left, width }: { lines: Line[]; at: number; zone: string; left: number; width: number }) {
  const side = left > width / 2 ? { insetInlineEnd: width - left + 8 } : { insetInlineStart: left + 8 }
  return (
    <div className="curve-tip" style={side} aria-hidden="true">
      <p className="small soft">{instant(at, zone)}</p>
      {lines.map((one) => {
        const value = valueAt(one.points, at)
        const point = one.points.find((p) => p.at === at)
        return value === null ? null : (
          <p key={one.name} className="small">
            <span className={`curve-key curve-key-${one.look}`} /> {one.name}:{' '}
            <strong className="figure">{rounded(value)}</strong>
            {one.look === 'main' && point?.low !== undefined && point.high !== undefined && point.low !== point.high ? (
              <span className="soft figure">
                {' '}
                ({rounded(point.low)} to {rounded(point.high)})
              </span>
            ) : null}
          </p>
        )
      })}
    </div>
  )
}

function Legend({ lines, limits }: { lines: Line[]; limits: Level[] }) {
  return (
    <ul className="curve-legend small soft">
      {lines.map((one) => (
        <li key={one.name}>
          <span className={`curve-key curve-key-${one.look}`} aria-hidden="true" /> {one.name}
        </li>
      ))}
      <li>
        <span className="curve-key curve-key-band" aria-hidden="true" /> Eight of ten futures
      </li>
      {limits.map((limit) => (
        <li key={`${limit.name} ${limit.value}`}>
          <bdi>{levelWords(limit)}</bdi>
        </li>
      ))}
    </ul>
  )
}

/** tableRows is how many rows the table of a curve has at the most. */
const tableRows = 30

function AsTable({ lines, zone, label }: { lines: Line[]; zone: string; label: string }) {
  const main = lines[0]?.points ?? []
  const every = Math.ceil(main.length / tableRows)
  return (
    <details className="curve-table">
      <summary>Show as a table</summary>
      <div className="table-wrap" tabIndex={0} role="region" aria-label={`${label}, as a table`}>
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Day</th>
              {lines.map((one) => (
                <th scope="col" className="num" key={one.name}>
                  {one.name}
                </th>
              ))}
              <th scope="col" className="num">
                Eight of ten futures
              </th>
            </tr>
          </thead>
          <tbody>
            {main
              .filter((_, i) => i % every === 0 || i === main.length - 1)
              .map((point) => (
                <tr key={point.at}>
                  <th scope="row">{day(point.at, zone)}</th>
                  {lines.map((one) => {
                    const value = valueAt(one.points, point.at)
                    return (
                      <td className="num figure" key={one.name}>
                        {value === null ? '–' : rounded(value)}
                      </td>
                    )
                  })}
                  <td className="num figure">
                    {point.low === undefined || point.high === undefined
                      ? '–'
                      : `${rounded(point.low)} to ${rounded(point.high)}`}
                  </td>
                </tr>
              ))}
          </tbody>
        </table>
      </div>
    </details>
  )
}
