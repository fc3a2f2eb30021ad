import { type ReactNode, useEffect, useRef, useState } from 'react'

/** chunkSize is how many rows come and go together; a list that is no longer is there as a whole. */
export const chunkSize = 100
/** around is how far out of sight rows are drawn. */
const around = '1500px 0px'
/** rowHeight is what a row that was never drawn is taken to need, in pixels. */
const rowHeight = 76

/** Chunk is a part of a long table: out of sight it only keeps its place, so that thousands of rows cost little. */
export function Chunk({ rows, always, children }: { rows: number; always: boolean; children: () => ReactNode }) {
  const body = useRef<HTMLTableSectionElement>(null)
  const height = useRef(rows * rowHeight)
  const [near, setNear] = useState(false)
  const drawn = always || near
  useEffect(() => {
    if (!body.current || always) return
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (!entry) return
        // Who has the focus on a row does not lose it.
        if (!entry.isIntersecting && entry.target.contains(document.activeElement)) return
        if (!entry.isIntersecting) height.current = entry.boundingClientRect.height
        setNear(entry.isIntersecting)
      },
      { rootMargin: around },
    )
    observer.observe(body.current)
    return () => observer.disconnect()
  }, [always])
  return (
    <tbody ref={body} style={drawn ? undefined : { blockSize: height.current }}>
      {drawn ? children() : null}
    </tbody>
  )
}

/** chunksOf cuts a list. */
export function chunksOf<T>(items: T[]): T[][] {
  const chunks: T[][] = []
  for (let i = 0; i < items.length; i += chunkSize) chunks.push(items.slice(i, i + chunkSize))
  return chunks
}
