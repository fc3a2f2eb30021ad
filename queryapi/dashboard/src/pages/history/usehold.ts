import { useCallback, useEffect, useRef, useState } from 'react'

/**
 * useHold says when a list must not move under somebody: its head is scrolled out of sight, the mouse is over it, or
 * focus is in one of its rows. `ref` is for what holds the list, which `region` then is.
 */
export function useHold() {
  const [scrolled, setScrolled] = useState(false)
  const [pointed, setPointed] = useState(false)
  const [focused, setFocused] = useState(false)
  const [element, setElement] = useState<HTMLDivElement | null>(null)
  const current = useRef<HTMLDivElement | null>(null)
  const set = useCallback((found: HTMLDivElement | null) => {
    current.current = found
    setElement(found)
  }, [])
  useEffect(() => {
    if (!element) return
    const scroll = () => setScrolled(element.getBoundingClientRect().top < 0)
    const enter = () => setPointed(true)
    const leave = () => setPointed(false)
    const focus = () => setFocused(document.activeElement?.closest('tbody') !== null && element.contains(document.activeElement))
    // A finger leaves no trace where it was; a mouse does.
    const mouse = (does: () => void) => (event: PointerEvent) => event.pointerType === 'mouse' && does()
    const entered = mouse(enter)
    const left = mouse(leave)
    const blur = () => setFocused(false)
    window.addEventListener('scroll', scroll, { passive: true })
    element.addEventListener('pointerenter', entered)
    element.addEventListener('pointerleave', left)
    element.addEventListener('focusin', focus)
    element.addEventListener('focusout', blur)
    scroll()
    return () => {
      window.removeEventListener('scroll', scroll)
      element.removeEventListener('pointerenter', entered)
      element.removeEventListener('pointerleave', left)
      element.removeEventListener('focusin', focus)
      element.removeEventListener('focusout', blur)
    }
  }, [element])
  return { hold: scrolled || pointed || focused, ref: set, region: current }
}
