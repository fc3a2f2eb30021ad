import { useMemo, useState } from 'react'
import { useWidth } from '../curve/width'
import { Cursor } from './cursor'
import { drawingOf, room } from './drawing'
import { Legend } from './legend'
import type { Data, View } from './model'
import { Picture } from './picture'
import { teller } from './telling'
import { timeTicks } from './ticks'
import './chart.css'

type Props = {
  data: Data
  view: View
  zone: string
  /** What the buckets are called in the API: `1h`. */
  bucket: string
  /** What the chart shows, for who does not see it. */
  label: string
  /** On which local weeks begin; 0: Sunday. */
  weekStart?: number
  height?: number
  /** How the forecast is called. */
  expected?: string
}

/** tickEvery is the least distance between ticks of time, in pixels: `28 Nov 2026` and some air. */
const tickEvery = 84

const none: ReadonlySet<string> = new Set()

/** Chart draws usage over time, stacked by series. Its height is fixed, so that nothing moves when figures come. */
export function Chart({ data, view, zone, bucket, label, weekStart = 1, height = 300, expected = 'Forecast' }: Props) {
  const [frame, width] = useWidth<HTMLDivElement>()
  const [hidden, setHidden] = useState(none)
  const size = useMemo(() => ({ width, height }), [width, height])
  const drawing = useMemo(() => drawingOf(data, view, hidden, size), [data, view, hidden, size])
  const ticks = useMemo(
    () => timeTicks(data.from, data.to, zone, Math.max((width - room.left - room.right) / tickEvery, 2), weekStart),
    [data.from, data.to, zone, width, weekStart],
  )
  const tell = useMemo(() => teller({ data, view, hidden, zone, bucket }), [data, view, hidden, zone, bucket])
  const toggle = (key: string) =>
    setHidden((before) => {
      const after = new Set(before)
      if (!after.delete(key)) after.add(key)
      return after
    })
  return (
    <div className="chart">
      <div className="chart-plot" ref={frame} style={{ height }}>
        <Picture drawing={drawing} data={data} view={view} ticks={ticks} size={size} />
        <Cursor label={label} data={data} drawing={drawing} size={size} tell={tell} />
      </div>
      <Legend data={data} view={view} hidden={hidden} onToggle={toggle} expected={expected} />
    </div>
  )
}
