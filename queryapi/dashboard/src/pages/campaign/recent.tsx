import type { Schemas } from '../../api/client'
import { rows, useHistory } from '../../api/queries'
import { instantSeconds } from '../../format'
import { Amount, fractionWidth } from '../../parts/amount'
import { Link } from '../../parts/link'
import { Panel } from '../../parts/panel'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'
import { paths } from '../../router'

/** recent is how many events are shown; the history has them all. */
const recent = 8

/** Recent is what a campaign used last, event by event. */
export function Recent({ workspace, id, zone }: { workspace: string; id: string; zone: string }) {
  const history = useHistory(workspace, { campaign_id: id, view: 'events', limit: recent })
  const items = history.data && rows(history.data).slice(0, recent)
  return (
    <Panel title="Recent history" busy={history.isPending}>
      <Loaded query={{ ...history, data: items }} skeleton={<SkeletonRows rows={recent} label="Loading the history" />}>
        {(entries) => (entries.length === 0 ? <Empty title="Nothing was used yet" /> : <Table entries={entries} zone={zone} />)}
      </Loaded>
      <div className="panel-foot">
        <Link href={`${paths.history(workspace)}?campaign=${encodeURIComponent(id)}&view=events&preset=all`}>
          All history of this campaign
        </Link>
      </div>
    </Panel>
  )
}

type Entries = Schemas['HistoryItem'][]

function Table({ entries, zone }: { entries: Entries; zone: string }) {
  const fraction = fractionWidth(entries.map((entry) => entry.credits))
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="The last events">
      <table className="table recent-table">
        <caption className="hidden-visually">Events of this campaign, the latest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">Action</th>
            <th scope="col" className="num">
              Credits used
            </th>
            <th scope="col" className="recent-actor">
              Actor
            </th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.entry_id}>
              <td className="nowrap figure">
                <time dateTime={entry.at}>{instantSeconds(entry.at, zone)}</time>
                {entry.late ? <span className="soft small"> counted late</span> : null}
              </td>
              <td>
                {entry.action || <span className="soft">No action</span>}
                {entry.credits.startsWith('-') ? <span className="soft small"> refund</span> : null}
              </td>
              <td className="num">
                <Amount value={entry.credits} fraction={fraction} />
              </td>
              <td className="recent-actor">{entry.actor || <span className="soft">–</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
