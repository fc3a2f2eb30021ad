import { scaleLinear } from 'd3-scale'
import { type PointerEvent, useId, useState } from 'react'
import { clock, dayShort, instant } from '../../format'
import { Amount, fractionWidth } from '../amount'
import { Grid, room, Time, tickEvery } from './axes'
import { nearest, timeTicks } from './scale'
import { useWidth } from './width'
import './curve.css'

/** Bar is what was used in [start, end), net; one that is not complete may still grow. */
export type Bar = { start: string; end: string; credits: string; refunds: string; events: number; complete: boolean }

/** Bars draws usage by bucket of one thing. */
export function Bars({ bars, zone, label, height = 220 }: { bars: Bar[]; zone: string; label: string; height?: number }) {
  const [frame, width] = useWidth<HTMLDivElement>()
  const [at, setAt] = useState<number | null>(null)
  const hatch = useId()
  const starts = bars.map((bar) => Date.parse(bar.start))
  const [from, to] = [starts[0] ?? 0, Date.parse(bars.at(-1)?.end ?? '')]
  const values = bars.map((bar) => Number(bar.credits))
  const x = scaleLinear([from, to], [room.left, width - room.right])
  const y = scaleLinear([Math.min(0, ...values), Math.max(0, ...values) || 1], [height - room.bottom, room.top]).nice(4)
  const over = (event: PointerEvent<SVGSVGElement>) => {
    const pointed = x.invert(event.clientX - event.currentTarget.getBoundingClientRect().left)
    setAt(
      nearest(
        bars.map((bar) => (Date.parse(bar.start) + Date.parse(bar.end)) / 2),
        pointed,
      ),
    )
  }
  const pointed = at === null ? undefined : bars[at]
  const ticks = timeTicks(from, to, zone, Math.max((width - room.left) / tickEvery, 2))
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
        <defs>
          <pattern id={hatch} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect className="bar-hatch" width="2.5" height="5" />
          </pattern>
        </defs>
        <Grid y={y} width={width} />
        {bars.map((bar, i) => {
          const [left, right] = [x(starts[i] ?? 0), x(Date.parse(bar.end))]
          const gap = right - left > 4 ? 1 : 0
          const [top, bottom] = [y(Math.max(values[i] ?? 0, 0)), y(Math.min(values[i] ?? 0, 0))]
          return (
            <rect
              key={bar.start}
              className={`${bar.complete ? 'bar' : ''} ${at === i ? 'bar-at' : ''}`}
              x={left}
              width={Math.max(right - left - gap, 0.5)}
              y={top}
              height={bottom - top}
              fill={bar.complete ? undefined : `url(#${hatch})`}
            />
          )
        })}
        <Time ticks={ticks.at} x={x} height={height} width={width} zone={zone} write={ticks.hours ? clock : dayShort} />
      </svg>
      {pointed ? <Pointed bar={pointed} zone={zone} left={x(Date.parse(pointed.start))} width={width} /> : null}
      {bars.some((bar) => !bar.complete) ? <p className="curve-legend small soft">Hatched: still being counted.</p> : null}
      <AsTable bars={bars} zone={zone} label={label} />
    </div>
  )
}

/** Pointed tells what is under the pointer; the table below has it for everybody else. */
function Pointed({ bar, zone, left, width }: { bar: Bar; zone: string; left: number; width: number }) {
  const side = left > width / 2 ? { insetInlineEnd: width - left + 8 } : { insetInlineStart: left + 16 }
  return (
    <div className="curve-tip" style={side} aria-hidden="true">
      <p className="small soft">
        {instant(bar.start, zone)} to {instant(bar.end, zone)}
      </p>
      <p className="small">
        <Amount value={bar.credits} unit="credits used" />
      </p>
      {bar.refunds !== '0' ? (
        <p className="small soft">
          <Amount value={bar.refunds} unit="refunded" />
        </p>
      ) : null}
    </div>
  )
}

function AsTable({ bars, zone, label }: { bars: Bar[]; zone: string; label: string }) {
  const [open, setOpen] = useState(false)
  const fraction = fractionWidth(bars.map((bar) => bar.credits))
  return (
    <details className="curve-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Show as a table</summary>
      {open ? (
        <div className="table-wrap" tabIndex={0} role="region" aria-label={`${label}, as a table`}>
          <table className="table">
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col" className="num">
                  Credits used
                </th>
                <th scope="col" className="num">
                  Refunded
                </th>
                <th scope="col" className="num">
                  Events
                </th>
              </tr>
            </thead>
            <tbody>
              {bars.toReversed().map((bar) => (
                <tr key={bar.start}>
                  <th scope="row">
                    {instant(bar.start, zone)}
                    {bar.complete ? '' : ' (not complete)'}
                  </th>
                  <td className="num">
                    <Amount value={bar.credits} fraction={fraction} />
                  </td>
                  <td className="num">
                    <Amount value={bar.refunds} />
                  </td>
                  <td className="num figure">{bar.events}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </details>
  )
}
