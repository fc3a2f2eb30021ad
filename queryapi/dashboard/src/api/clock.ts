// The page tells time by the server: a device whose clock is wrong would ask
// for ranges that are not meant, and call figures stale that are not.

let offset = 0
const listeners = new Set<() => void>()

/** noteServerTime takes what the server said the time was, received just now. */
export function noteServerTime(at: string, received = Date.now()) {
  const server = Date.parse(at)
  if (Number.isNaN(server)) return
  const next = server - received
  // An answer under way for a second or two is no wrong clock.
  const moved = Math.abs(next - offset) > 2_000
  if (!moved) return
  offset = next
  for (const listener of listeners) listener()
}

/** serverNow is the time by the server, in milliseconds since 1970. */
export const serverNow = () => Date.now() + offset

/** clockOffset is how far the server is ahead of this device, in milliseconds. */
export const clockOffset = () => offset

export function subscribeClock(listener: () => void) {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}
