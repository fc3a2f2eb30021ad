import { show } from '../../parts/campaigns/view'
import { Empty } from '../../parts/states'
import type { Place } from '../../router'

/** NoCampaigns is for a workspace in which nothing has happened yet. */
export function NoCampaigns() {
  return (
    <Empty title="No campaigns yet">
      <p>
        A campaign appears here as soon as an event names it: a <code>campaign.updated</code> with its name, status and quota, or
        the first <code>credits.consumed</code> with its id.
      </p>
    </Empty>
  )
}

/** NoMatch is for filters that let nothing through. */
export function NoMatch({ place }: { place: Place }) {
  return (
    <Empty title="No campaign matches">
      <p>Try another name, or all statuses.</p>
      <p>
        <button type="button" className="button" onClick={() => show(place, { q: null, status: null })}>
          Clear search and filter
        </button>
      </p>
    </Empty>
  )
}
