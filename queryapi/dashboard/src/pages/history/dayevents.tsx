import type { Schemas } from '../../api/client'
import { serverNow } from '../../api/clock'
import { clockMillis } from '../../format'
import { Amount, fractionWidth } from '../../parts/amount'
import { noCampaign } from '../../parts/campaigns/words'
import { Copy } from '../../parts/copy'
import { Link } from '../../parts/link'
import { Loaded, SkeletonRows } from '../../parts/states'
import { usePlace, withQuery } from '../../router'
import { useLog } from './uselog'
import { eventsWord } from './words'

type Item = Schemas['HistoryItem']

/** DayEvents is what a campaign used in a day, event by event, in place. */
export function DayEvents({ workspace, zone, item }: { workspace: string; zone: string; item: Item }) {
  const place = usePlace()
  const from = item.from ?? item.at
  const to = item.to ?? item.at
  const log = useLog(
    workspace,
    { view: 'events', type: ['consumption'], campaign_id: item.campaign_id ?? '', from, to, tz: zone },
    { live: Date.parse(to) > serverNow(), hold: true },
  )
  const all = withQuery(place, {
    view: 'events',
    type: 'consumption',
    campaign: item.campaign_id || noCampaign,
    preset: null,
    from,
    to,
  })
  return (
    <section>
      <h3>Events</h3>
      <Loaded query={{ ...log.list, data: log.page }} skeleton={<SkeletonRows rows={4} label="Loading the events" />}>
        {(page) => {
          const events = page.items.filter((e) => e.event_id !== null)
          if (events.length === 0) {
            return <p className="soft">The single events of this day are no longer kept. Their sum is.</p>
          }
          return (
            <>
              <Events events={events} zone={zone} />
              <p className="details-foot">
                {log.waiting ? (
                  <button type="button" className="button" onClick={log.show}>
                    {log.waiting.more ? 'New events' : `${eventsWord(log.waiting.rows).replace('event', 'new event')}`}
                  </button>
                ) : null}
                {log.list.hasNextPage ? (
                  <button
                    type="button"
                    className="button"
                    onClick={() => void log.list.fetchNextPage()}
                    disabled={log.list.isFetchingNextPage}
                  >
                    {log.list.isFetchingNextPage ? 'Loading' : 'Show more'}
                  </button>
                ) : null}
                <Link href={all}>Open in every event</Link>
              </p>
            </>
          )
        }}
      </Loaded>
    </section>
  )
}

function Events({ events, zone }: { events: Item[]; zone: string }) {
  const fraction = fractionWidth(events.map((event) => event.change))
  return (
    <div className="events-wrap" tabIndex={0} role="region" aria-label="Events">
      <table className="table events-table">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Action</th>
            <th scope="col">Actor</th>
            <th scope="col">Event id</th>
            <th scope="col" className="num">
              Credits
            </th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.entry_id}>
              <td>
                <time dateTime={event.at} title={event.at}>
                  {clockMillis(event.at, zone)}
                </time>
              </td>
              <td>{event.action}</td>
              <td>
                <bdi className="clip">{event.actor}</bdi>
              </td>
              <td className="nowrap">
                <code className="clip" title={event.event_id ?? undefined}>
                  {event.event_id}
                </code>
                <Copy text={event.event_id ?? ''} what="event id" />
              </td>
              <td className="num">
                <Amount value={event.change} fraction={fraction} signed />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
