import { useEffect, useRef, useState } from 'react'
import { type Place, usePlace } from '../../router'
import { Icon } from '../icon'
import { show, statuses, viewOf } from './view'

/** typingPause is how long after the last key a search is made, in milliseconds. */
const typingPause = 250

const statusNames = { ACTIVE: 'Active', PAUSED: 'Paused', COMPLETED: 'Completed', DRAFT: 'Draft' }

/** CampaignFilters are the search and the status; both stand in the address. */
export function CampaignFilters() {
  const place = usePlace()
  const { status } = viewOf(place.query)
  return (
    <search className="campaign-filters">
      <Search place={place} />
      <select
        className="select"
        aria-label="Status"
        value={status ?? ''}
        onChange={(event) => show(place, { status: event.target.value || null })}
      >
        <option value="">All statuses</option>
        {statuses.map((s) => (
          <option key={s} value={s}>
            {statusNames[s]}
          </option>
        ))}
      </select>
    </search>
  )
}

function Search({ place }: { place: Place }) {
  const { q } = viewOf(place.query)
  const [text, setText] = useState(q)
  const asked = useRef(q)
  useEffect(() => {
    // The address changed by itself: a step back, or "Clear".
    if (q !== asked.current) {
      asked.current = q
      setText(q)
    }
  }, [q])
  useEffect(() => {
    if (text === asked.current) return
    const timer = window.setTimeout(() => {
      asked.current = text
      show(place, { q: text || null })
    }, typingPause)
    return () => window.clearTimeout(timer)
  }, [text, place])
  return (
    <label className="search-box">
      <span className="hidden-visually">Search by name or id</span>
      <Icon name="search" />
      <input
        type="search"
        className="input"
        placeholder="Search by name or id"
        value={text}
        maxLength={256}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
      />
    </label>
  )
}
