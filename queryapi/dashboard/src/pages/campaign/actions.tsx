import { type UsageQuery, useUsage } from '../../api/queries'
import { share } from '../../credits'
import { count, day } from '../../format'
import { Amount, fractionWidth } from '../../parts/amount'
import { sharePercent } from '../../parts/campaigns/words'
import { Panel } from '../../parts/panel'
import type { Chosen } from '../../parts/range/address'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'

type Props = { workspace: string; id: string; chosen: Chosen; zone: string }

/** questionOf is what the API is asked; the chart and the table of actions share the answer. */
export const questionOf = (campaign_id: string, { range }: Chosen, tz: string): UsageQuery => ({
  ...range,
  tz,
  bucket: 'auto',
  group_by: 'action',
  campaign_id,
})

/** Actions are what a campaign's credits were used for. */
export function Actions({ workspace, id, chosen, zone }: Props) {
  const usage = useUsage(workspace, questionOf(id, chosen, zone), chosen.range !== null)
  const { data } = usage
  return (
    <Panel
      title="Usage by action"
      busy={usage.isPending}
      note={data ? `From ${day(data.from, zone)} to ${day(Date.parse(data.to) - 1, zone)}` : '\u00a0'}
    >
      <Loaded query={usage} skeleton={<SkeletonRows rows={4} label="Loading the actions" />}>
        {({ series, other, total }) => {
          const rows = [...series, ...(other ? [{ ...other, key: 'other', name: 'All others' }] : [])]
          if (rows.every((row) => row.points.every((point) => point.events === 0))) {
            return <Empty title="Nothing was used in this time" />
          }
          const fraction = fractionWidth([total, ...rows.map((row) => row.total)])
          const largest = Math.max(...rows.map((row) => Number(row.total)), 0)
          return (
            <div className="table-wrap">
              <table className="table action-table">
                <caption className="hidden-visually">Credits used by action</caption>
                <thead>
                  <tr>
                    <th scope="col">Action</th>
                    <th scope="col" className="num">
                      Credits used
                    </th>
                    <th scope="col" className="num">
                      Share
                    </th>
                    <th scope="col" className="num action-events">
                      Events
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row) => (
                    <tr key={row.key}>
                      <th scope="row">
                        {row.name || 'No action'}
                        <span className="action-bar" aria-hidden="true">
                          <span
                            className="action-part"
                            style={{ inlineSize: `${largest > 0 ? Math.max((Number(row.total) / largest) * 100, 0) : 0}%` }}
                          />
                        </span>
                      </th>
                      <td className="num">
                        <Amount value={row.total} fraction={fraction} />
                      </td>
                      <td className="num figure nowrap">{partOf(row.total, total)}</td>
                      <td className="num figure action-events">{count(row.points.reduce((n, point) => n + point.events, 0))}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }}
      </Loaded>
    </Panel>
  )
}

function partOf(used: string, total: string): string {
  const value = share(used, total)
  return value === null ? '–' : sharePercent(value, true)
}
