import { useEffect, useRef, useState } from 'react'
import { useLive } from '../api/live'
import { clock } from '../format'
import { Badge } from '../parts/badge'
import { Icon } from '../parts/icon'
import { Link } from '../parts/link'
import { useMedia } from '../parts/media'
import { paths } from '../router'
import { announcement, type Notice, noticesAfter } from './notices'
import { useZone } from './zone'
import './alertnotices.css'

/** shown is how many stand on the page at once: more would cover it. */
const shownAtOnce = 3

/** AlertNotices tells of alerts as they come, whatever is looked at; they stay until they are dismissed. */
export function AlertNotices({ workspace }: { workspace: string }) {
  const { alert } = useLive(workspace)
  const [notices, setNotices] = useState<Notice[]>([])
  const list = useRef<HTMLElement>(null)
  // What came before this page looked is in the list of incidents.
  const seen = useRef(alert)
  useEffect(() => {
    if (!alert || alert === seen.current) return
    seen.current = alert
    setNotices((before) => noticesAfter(before, alert))
  }, [alert])
  const said = useAnnouncement(notices)
  const dismiss = (ids: string[]) => {
    const inside = list.current?.contains(document.activeElement)
    setNotices((before) => before.filter((notice) => !ids.includes(notice.incident_id)))
    // Who works through them by keyboard stays among them.
    if (inside) {
      requestAnimationFrame(() => {
        const next = list.current?.querySelector<HTMLElement>('.alert-toast-close') ?? document.getElementById('main')
        next?.focus({ preventScroll: true })
      })
    }
  }
  const shown = useMedia('(max-width: 40rem)') ? 1 : shownAtOnce
  const more = notices.length - shown
  return (
    <>
      <p className="hidden-visually" role="status">
        {said}
      </p>
      {notices.length > 0 ? (
        <section className="alert-toasts" aria-label="New alerts" ref={list}>
          {notices.slice(0, shown).map((notice) => (
            <Toast
              key={notice.incident_id}
              workspace={workspace}
              notice={notice}
              onDismiss={() => dismiss([notice.incident_id])}
            />
          ))}
          {more > 0 ? (
            <p className="alert-toast alert-toast-more">
              <Link href={paths.alerts(workspace)} onClick={() => dismiss(notices.map((notice) => notice.incident_id))}>
                {more === 1 ? '1 more alert' : `${more} more alerts`}
              </Link>
              <button type="button" className="button button-quiet" onClick={() => dismiss(notices.map((n) => n.incident_id))}>
                Dismiss all
              </button>
            </p>
          ) : null}
        </section>
      ) : null}
    </>
  )
}

/** gathering is for how long alerts are gathered before they are read out, in milliseconds. */
const gathering = 1_000

/** useAnnouncement is what to say of notices that came since it was last said. */
function useAnnouncement(notices: Notice[]): string {
  const [said, setSaid] = useState('')
  const told = useRef(new Set<string>())
  useEffect(() => {
    const id = ({ incident_id, state }: Notice) => `${incident_id} ${state}`
    const timer = window.setTimeout(() => {
      const fresh = notices.filter((notice) => !told.current.has(id(notice)))
      told.current = new Set(notices.map(id))
      if (fresh.length > 0) setSaid(announcement(fresh))
    }, gathering)
    return () => window.clearTimeout(timer)
  }, [notices])
  return said
}

function Toast({ workspace, notice, onDismiss }: { workspace: string; notice: Notice; onDismiss: () => void }) {
  const { zone } = useZone()
  return (
    <div className={`alert-toast alert-toast-${notice.state}`}>
      <p className="alert-toast-head">
        <Badge status={notice.state} />
        <time dateTime={notice.at} className="soft small figure">
          {clock(notice.at, zone)}
        </time>
      </p>
      {notice.was ? (
        <p className="alert-toast-text soft small">
          <bdi>{notice.was}</bdi>
        </p>
      ) : null}
      <p className="alert-toast-text">
        <bdi>{notice.message}</bdi>
      </p>
      <Link href={`${paths.alerts(workspace)}?incident=${encodeURIComponent(notice.incident_id)}`} onClick={onDismiss}>
        See the incident
      </Link>
      <button
        type="button"
        className="button button-icon alert-toast-close"
        aria-label={`Dismiss: ${notice.message}`}
        onClick={onDismiss}
      >
        <Icon name="close" />
      </button>
    </div>
  )
}
