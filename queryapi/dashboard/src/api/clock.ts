// The page tells time by the server: a device whose clock is wrong would ask
// for ranges that are not meant, and call figures stale that are not.

let offset = 0
const listeners = new Set<() => void>()

/** noteServerTime takes what the server said the time was, received just now. */
export function noteServerTime(at: string, received = Date.now()) {
  const server = Date.parse(at)
  if (Number.isNaN(server)) return
  const next = server - received
  // What was under way for a second or two is no wrong clock.
  if (Math.abs(next - offset) > 2_000) move(next)
}

/**
 * noteAnswer takes the Date of an answer, which is whole seconds. The server wrote it between question and answer,
 * and when in between is not known: an answer that took its time is no wrong clock.
 */
export function noteAnswer(date: string, sent: number, received = Date.now()) {
  const server = Date.parse(date)
  if (Number.isNaN(server)) return
  const least = server - received
  const most = server + 1_000 - sent
  const slack = 1_000
  // A device whose clock was set while it waited tells nothing.
  if (most < least) return
  if (offset < least - slack || offset > most + slack) move((least + most) / 2)
}

function move(next: number) {
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
