import { useMemo } from 'react'
import type { Schemas } from '../../api/client'
import { useUsage } from '../../api/queries'
import { day } from '../../format'
import { Amount } from '../../parts/amount'
import { nameOf } from '../../parts/campaigns/words'
import { Chart } from '../../parts/chart/chart'
import { Panel } from '../../parts/panel'
import type { Change } from '../../parts/range/fields'
import { RangeTools } from '../../parts/range/tools'
import type { Followed } from '../../parts/range/usechosen'
import { weekdayNumber } from '../../parts/range/week'
import { Segments } from '../../parts/segments'
import { Empty, Loaded, Skeleton } from '../../parts/states'
import { navigate, usePlace, withQuery } from '../../router'
import { dataOf } from '../credits/trends/data'
import { statusMarks } from '../credits/trends/marks'
import { UsageTable } from '../credits/trends/table'
import { useTones } from '../credits/trends/trends'
import { type View, viewOf } from '../credits/trends/view'
import { questionOf } from './actions'
import type { Detail } from './words'

type Props = { workspace: string; campaign: Detail; zone: string; weekStart: string; chosen: Followed }

/** Usage is what a campaign used over time, by action, in the range that the address names. */
export function Usage({ workspace, campaign, zone, weekStart, chosen }: Props) {
  const place = usePlace()
  const view = viewOf(place.query)
  const query = useUsage(workspace, questionOf(campaign.campaign_id, chosen, zone), chosen.range !== null)
  const change: Change = (changes, step = false) => navigate(withQuery(place, changes), { replace: !step })
  const { data } = query
  return (
    <Panel
      title="Usage over time"
      busy={query.isPending || query.isPlaceholderData}
      note={
        data ? (
          <>
            <Amount value={data.total} /> credits from {day(data.from, zone)} to {day(Date.parse(data.to) - 1, zone)}
          </>
        ) : (
          '\u00a0'
        )
      }
      actions={<RangeTools chosen={chosen} zone={zone} weekStart={weekStart} onChange={change} />}
    >
      <Loaded query={query} skeleton={<UsageSkeleton />}>
        {(usage) => (
          <div className={query.isPlaceholderData ? 'usage-old' : ''}>
            <Tools view={view} onChange={change} />
            <Drawn
              usage={usage}
              view={view}
              zone={zone}
              weekStart={weekStart}
              name={nameOf(campaign)}
              changes={campaign.status_changes}
            />
          </div>
        )}
      </Loaded>
    </Panel>
  )
}

function Tools({ view, onChange }: { view: View; onChange: Change }) {
  return (
    <div className="usage-tools">
      <Segments
        label="Each bucket, or all up to it"
        value={view.look}
        options={[
          { value: 'bars', text: 'Per bucket' },
          { value: 'cumulative', text: 'Cumulative' },
        ]}
        onChange={(look) => onChange({ view: look === 'bars' ? null : look })}
      />
      <Segments
        label="Shown as"
        value={view.table ? 'table' : 'chart'}
        options={[
          { value: 'chart', text: 'Chart' },
          { value: 'table', text: 'Table' },
        ]}
        onChange={(as) => onChange({ table: as === 'table' ? '1' : null })}
      />
    </div>
  )
}

type DrawnProps = {
  usage: Schemas['Usage']
  view: View
  zone: string
  weekStart: string
  name: string
  changes: Schemas['StatusChange'][]
}

const names = { unattributed: 'No action', all: 'Credits used', other: 'Other actions' }

/** Drawn is the chart, with changes of the status on its axis, or the table of it. */
function Drawn({ usage, view, zone, weekStart, name, changes }: DrawnProps) {
  const tones = useTones(usage)
  const data = useMemo(() => dataOf(usage, tones, names, statusMarks(changes, name), false), [usage, tones, changes, name])
  const label = view.look === 'bars' ? 'Credits used by bucket' : 'Credits used up to each bucket'
  if (data.series.every((one) => one.values.every((value) => value === 0)) && data.ahead.length === 0) {
    return (
      <Empty title="Nothing was used in this time">
        <p>Choose another range to look further back.</p>
      </Empty>
    )
  }
  if (view.table) return <UsageTable data={data} view={view.look} zone={zone} bucket={usage.bucket} label={label} />
  return (
    <Chart
      data={data}
      view={view.look}
      zone={zone}
      bucket={usage.bucket}
      label={label}
      weekStart={weekdayNumber(weekStart)}
      expected={view.look === 'bars' ? 'Forecast' : 'Forecast, with the range of eight in ten futures'}
    />
  )
}

function UsageSkeleton() {
  return (
    <div role="status">
      <span className="hidden-visually">Loading usage</span>
      <div className="usage-tools">
        <Skeleton width="20rem" height="var(--control)" />
      </div>
      <Skeleton height="300px" />
      <Skeleton height="2.25rem" />
    </div>
  )
}
