import { useEffect, useState, useSyncExternalStore } from 'react'
import { clockOffset, serverNow, subscribeClock } from '../api/clock'
import type { Live } from '../api/live'
import { clockSeconds, duration } from '../format'
import { Icon } from '../parts/icon'

/** staleAfter is when figures count as stale, in seconds: alerts are held back then as well (DESIGN section 8). */
const staleAfter = 60
/** wrongClock is how far a device's clock may be off before it is said, in milliseconds. */
const wrongClock = 60_000

/** useNow is the server's time, moving every so many milliseconds. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(serverNow)
  useEffect(() => {
    const tick = () => setNow(serverNow())
    const timer = window.setInterval(tick, every)
    // What the server said the time was since the first look.
    tick()
    const stop = subscribeClock(tick)
    return () => {
      window.clearInterval(timer)
      stop()
    }
  }, [every])
  return now
}

/** FreshnessLine says up to when the figures know everything: `Data through 12:03:20 (4 s ago)`. */
export function FreshnessLine({ live, zone }: { live: Live; zone: string }) {
  const now = useNow()
  const watermark = live.freshness?.watermark
  if (!watermark) {
    return (
      <p className="freshness freshness-connecting">
        {live.state === 'off' ? 'Live updates are off. Trying again' : 'Connecting'}
      </p>
    )
  }
  const lag = Math.max((now - Date.parse(watermark)) / 1000, 0)
  const stale = lag > staleAfter
  return (
    <p
      className={`freshness ${stale ? 'freshness-stale' : ''}`}
      title="Everything that arrived before this time has been counted."
    >
      <span>
        {stale ? 'Stale: data' : 'Data'} through <time dateTime={watermark}>{clockSeconds(watermark, zone)}</time> (
        {duration(lag)} ago)
        {live.state === 'off' ? ', live updates are off' : ''}
      </span>
    </p>
  )
}

/**
 * ageOf tells two things apart, in seconds: how far counting was behind when the server was last heard, and how long
 * ago that was. Of a server that is not heard nobody knows whether it counts.
 */
export function ageOf(freshness: Live['freshness'], now: number): { behind: number; unheard: number } {
  if (!freshness?.watermark) return { behind: 0, unheard: 0 }
  const at = Date.parse(freshness.at)
  return { behind: Math.max(at - Date.parse(freshness.watermark), 0) / 1000, unheard: Math.max(now - at, 0) / 1000 }
}

/** StaleNotice warns who would take old figures for new ones; who hears the page is told once, not with every minute. */
export function StaleNotice({ live }: { live: Live }) {
  const now = useNow(5000)
  const { behind, unheard } = ageOf(live.freshness, now)
  const offset = useSyncExternalStore(subscribeClock, clockOffset)
  const counting = behind > staleAfter
  const silent = !counting && unheard > staleAfter
  const wrong = Math.abs(offset) > wrongClock
  return (
    <>
      <p className="hidden-visually" role="status">
        {counting ? 'The figures are behind. ' : silent ? 'The server is not heard. ' : ''}
        {wrong ? 'The clock of this device is wrong.' : ''}
      </p>
      {counting ? (
        <p className="notice notice-warn">
          <Icon name="warn" />
          <span>
            Counting is {duration(behind + unheard)} behind. The figures are right up to then; what came after will be added.
          </span>
        </p>
      ) : silent ? (
        <p className="notice notice-warn">
          <Icon name="warn" />
          <span>Nothing has been heard of the server for {duration(unheard)}. The figures are from before.</span>
        </p>
      ) : null}
      {wrong ? (
        <p className="notice">
          <Icon name="clock" />
          <span>
            The clock of this device is {duration(Math.abs(offset) / 1000)} {offset > 0 ? 'behind' : 'ahead'}. Times on this page
            are the server's.
          </span>
        </p>
      ) : null}
    </>
  )
}
