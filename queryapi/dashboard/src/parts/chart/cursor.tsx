import { type KeyboardEvent, type PointerEvent, useMemo, useState } from 'react'
import { type Drawing, room, type Size } from './drawing'
import { type Data, stopAt, stopsOf } from './model'
import { step } from './step'
import type { Telling } from './telling'
import { Tip } from './tip'

type Props = { label: string; data: Data; drawing: Drawing; size: Size; tell: Telling }

/**
 * Cursor follows the pointer, a finger or the arrow keys over the picture, which it leaves alone. To assistive
 * technology it is a slider over the buckets, so each is told as it is reached. It stands at an instant, so it
 * stays where it is when figures change.
 */
export function Cursor({ label, data, drawing, size: { width, height }, tell }: Props) {
  const [at, setAt] = useState<number | null>(null)
  const stops = useMemo(() => stopsOf(data), [data])
  const index = at === null ? -1 : stopAt(stops, at)
  const stop = stops[index]
  const go = (next: number) => setAt(stops[next]?.start ?? null)
  const over = (event: PointerEvent<HTMLDivElement>) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left
    go(stopAt(stops, drawing.x.invert(left + room.left)))
  }
  const key = (event: KeyboardEvent) => {
    if (event.key === 'Escape' && at !== null) {
      event.stopPropagation()
      setAt(null)
      return
    }
    const next = step(event.key, index, stops.length, data.buckets.length - 1)
    if (next === null || event.altKey || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    go(next)
  }
  const told = stop ? tell(stop) : null
  return (
    <>
      {stop ? (
        <span
          className="chart-at"
          style={{
            left: drawing.x(stop.start),
            width: Math.max(drawing.x(stop.end) - drawing.x(stop.start), 1),
            top: room.top,
            height: height - room.top - room.bottom,
          }}
        />
      ) : null}
      <div
        className="chart-over"
        role="slider"
        tabIndex={0}
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={Math.max(stops.length - 1, 0)}
        aria-valuenow={Math.max(index, 0)}
        aria-valuetext={told ? told.words : 'Press the arrow keys to go through the chart'}
        style={{ left: room.left, right: room.right, top: 0, height }}
        onPointerMove={over}
        onPointerDown={over}
        onPointerLeave={(event) => event.pointerType === 'mouse' && setAt(null)}
        onBlur={() => setAt(null)}
        onKeyDown={key}
      />
      {stop && told ? <Tip told={told} left={drawing.x(stop.start)} right={drawing.x(stop.end)} width={width} /> : null}
    </>
  )
}
