import { type RefObject, useLayoutEffect, useRef, useState } from 'react'

/** useWidth measures an element for as long as it is there, in whole pixels. */
export function useWidth<T extends Element>(first = 640): [RefObject<T | null>, number] {
  const element = useRef<T>(null)
  const [width, setWidth] = useState(first)
  useLayoutEffect(() => {
    const measured = element.current
    if (!measured) return
    const measure = () => setWidth(Math.round(measured.getBoundingClientRect().width) || first)
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(measured)
    return () => observer.disconnect()
  }, [first])
  return [element, width]
}
