import { useEffect, useRef, useState } from 'react'
import { rows, useCampaigns } from '../../../api/queries'
import { Badge } from '../../../parts/badge'
import { nameOf } from '../../../parts/campaigns/words'
import { Icon } from '../../../parts/icon'
import { Loaded, SkeletonRows } from '../../../parts/states'
import { maxPaused } from './view'

/** offered is how many campaigns are there to choose from at once; a search finds the others. */
const offered = 20
/** typingPause is how long after the last key a search is made, in milliseconds. */
const typingPause = 250

type Props = { workspace: string; chosen: string[]; onChange: (ids: string[]) => void }

/** Picker chooses the campaigns that pause. */
export function Picker({ workspace, chosen, onChange }: Props) {
  const [text, setText] = useState('')
  const [q, setQ] = useState('')
  useEffect(() => {
    const timer = window.setTimeout(() => setQ(text.trim()), typingPause)
    return () => window.clearTimeout(timer)
  }, [text])
  const found = useCampaigns(workspace, { sort: 'used', limit: offered, ...(q ? { q } : {}) })
  const items = found.data?.pages[0] && rows({ pages: [found.data.pages[0]], pageParams: [] }).filter((c) => c.campaign_id !== '')
  // A campaign that was found is called by its name as long as it is chosen.
  const names = useRef(new Map<string, string>())
  for (const item of items ?? []) names.current.set(item.campaign_id, nameOf(item))
  const full = chosen.length >= maxPaused
  const toggle = (id: string) => onChange(chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id])
  return (
    <fieldset className="picker">
      <legend className="label">Pause campaigns{chosen.length > 0 ? ` (${chosen.length})` : ''}</legend>
      {chosen.length > 0 ? (
        <ul className="picker-chosen">
          {chosen.map((id) => (
            <li key={id}>
              <button type="button" className="picker-chip" onClick={() => toggle(id)}>
                <span className="hidden-visually">Do not pause </span>
                <bdi className="picker-name">{names.current.get(id) ?? id}</bdi>
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      ) : null}
      <input
        type="search"
        className="input"
        aria-label="Search campaigns by name or id"
        placeholder="Search by name or id"
        value={text}
        maxLength={256}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
      <div className="picker-list">
        <Loaded query={{ ...found, data: items }} skeleton={<SkeletonRows rows={4} label="Loading campaigns" />}>
          {(campaigns) =>
            campaigns.length === 0 ? (
              <p className="soft small">{q ? 'No campaign matches' : 'No campaigns yet'}</p>
            ) : (
              campaigns.map((campaign) => {
                const checked = chosen.includes(campaign.campaign_id)
                return (
                  <label key={campaign.campaign_id} className="picker-item">
                    <input
                      type="checkbox"
                      checked={checked}
                      disabled={full && !checked}
                      onChange={() => toggle(campaign.campaign_id)}
                    />
                    <bdi className="picker-name">{nameOf(campaign)}</bdi>
                    {campaign.status === null ? null : <Badge status={campaign.status} />}
                  </label>
                )
              })
            )
          }
        </Loaded>
      </div>
      {found.hasNextPage ? <p className="soft small">The {offered} that used most. Search for others.</p> : null}
      {full ? <p className="soft small">No more than {maxPaused} at once.</p> : null}
    </fieldset>
  )
}
