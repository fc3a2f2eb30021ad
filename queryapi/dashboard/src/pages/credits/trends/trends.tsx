import { useMemo, useRef } from 'react'
import type { Schemas } from '../../../api/client'
import { can, useBalance, useUsage } from '../../../api/queries'
import { day, zoneName } from '../../../format'
import { Chart } from '../../../parts/chart/chart'
import type { Data, Tone } from '../../../parts/chart/model'
import { Icon } from '../../../parts/icon'
import { Panel } from '../../../parts/panel'
import type { Chosen } from '../../../parts/range/address'
import { Empty, ErrorState, Loaded, Skeleton } from '../../../parts/states'
import { navigate, usePlace, withQuery } from '../../../router'
import { assign, dataOf } from './data'
import { ExportMenu } from './exportmenu'
import { Head } from './head'
import { UsageTable } from './table'
import { type Change, RangeTools, ViewTools } from './tools'
import { useMarks } from './usemarks'
import { ignoredText, tooMany, type View, viewOf } from './view'
import './trends.css'

type Props = { me: Schemas['Me']; workspace: string; zone: string; chosen: Chosen }

/** Trends is the second panel: how usage went over a range, and how it will go on. */
export function Trends({ me, workspace, zone, chosen }: Props) {
  const place = usePlace()
  const read = viewOf(place.query)
  const balance = useBalance(workspace)
  const { from, to } = chosen.range?.from ? chosen.range : (balance.data?.period ?? {})
  const range = from && to ? { from, to } : null
  const fine = range !== null && tooMany(read.bucket, range.from, range.to)
  const view: View = fine ? { ...read, bucket: 'auto', ignored: [...read.ignored, 'bucket'] } : read
  const query = useUsage(workspace, questionOf(view, chosen, zone), chosen.range !== null)
  const weekStart = me.workspaces.find((w) => w.workspace_id === workspace)?.week_start ?? 'monday'
  const change: Change = (changes, step = false) => navigate(withQuery(place, changes), { replace: !step })
  const shown = query.data
  const ignored = ignoredText([...chosen.ignored, ...view.ignored])
  return (
    <Panel
      title="Credit Usage Trends"
      className="trends"
      busy={query.isPending || query.isPlaceholderData}
      note={
        range ? `${day(range.from, zone)} to ${day(Date.parse(range.to) - 1, zone)}, ${zoneName(zone, range.from)}` : '\u00a0'
      }
      actions={
        <>
          <RangeTools preset={chosen.preset} range={range} zone={zone} weekStart={weekStart} onChange={change} />
          {shown && can(me, workspace, 'credits:export') ? (
            <ExportMenu workspace={workspace} usage={shown} zone={zone} campaign={view.campaign} />
          ) : null}
        </>
      }
    >
      {ignored ? (
        <p className="notice trends-notice" role="status">
          <Icon name="warn" />
          <span>{ignored}</span>
        </p>
      ) : null}
      {chosen.range === null && balance.isError ? (
        <ErrorState error={balance.error} onRetry={() => void balance.refetch()} busy={balance.isFetching} />
      ) : (
        <Loaded query={query} skeleton={<TrendsSkeleton />}>
          {(usage) => (
            <div className={query.isPlaceholderData ? 'trends-old' : ''}>
              <Head usage={usage} remaining={view.campaign === null ? (balance.data?.remaining ?? null) : null} zone={zone} />
              <ViewTools
                workspace={workspace}
                view={view}
                range={range}
                chosen={usage.bucket}
                campaignName={nameOf(usage, view.campaign)}
                onChange={change}
              />
              <Course workspace={workspace} usage={usage} view={view} zone={zone} weekStart={weekStart} />
            </div>
          )}
        </Loaded>
      )}
    </Panel>
  )
}

/** questionOf is what the API is asked. The period before is always asked for: the head compares with it. */
function questionOf(view: View, chosen: Chosen, zone: string) {
  return {
    ...chosen.range,
    tz: zone,
    bucket: view.bucket,
    group_by: view.group,
    compare: 'previous' as const,
    ...(view.campaign === null ? {} : { campaign_id: view.campaign }),
  }
}

/** nameOf is how the campaign that usage is narrowed to is called, as far as the answer tells. */
const nameOf = (usage: Schemas['Usage'], campaign: string | null) =>
  usage.series.find((one) => one.key === campaign)?.name ?? campaign ?? ''

/** levelShares are parts of what was allotted that a course is seen against, in percent. */
const levelShares = [50, 75, 90, 100]

type CourseProps = { workspace: string; usage: Schemas['Usage']; view: View; zone: string; weekStart: string }

/** Course is the chart or the table of it. */
function Course({ workspace, usage, view, zone, weekStart }: CourseProps) {
  const balance = useBalance(workspace).data
  const marks = useMarks(workspace, usage, balance?.grants)
  const tones = useTones(usage)
  const data = useMemo((): Data => {
    const names = {
      unattributed: usage.group_by === 'action' ? 'No action' : 'Unattributed',
      all: 'Credits used',
      other: 'Other',
    }
    const made = dataOf(usage, tones, names, marks, view.compare)
    // What was allotted is for the cycle and the whole workspace; nothing else is to be seen against it.
    const cycle = view.campaign === null && balance?.period.from === usage.from && balance.period.to === usage.to
    const allotted = Number(balance?.allocated ?? 0)
    if (!cycle || allotted <= 0) return made
    return {
      ...made,
      levels: levelShares.map((share) => ({ value: (allotted * share) / 100, name: `${share} % of allocation` })),
    }
  }, [usage, tones, marks, view.compare, view.campaign, balance])
  const label = view.look === 'bars' ? 'Credits used by bucket' : 'Credits used up to each bucket'
  if (data.series.every((one) => one.values.every((value) => value === 0)) && data.ahead.length === 0) {
    return (
      <div className="trends-empty">
        <Empty title="No usage in this range">
          <p>Choose another range, or all campaigns.</p>
        </Empty>
      </div>
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
      weekStart={weekdays.indexOf(weekStart)}
      expected={view.look === 'bars' ? 'Forecast' : 'Forecast, with the range of eight in ten futures'}
    />
  )
}

const weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']

/** useTones keeps the colours of series while figures move. */
export function useTones(usage: Schemas['Usage']): ReadonlyMap<string, Tone> {
  const held = useRef<{ group: string; tones: ReadonlyMap<string, Tone> }>({ group: '', tones: new Map() })
  const keys = usage.series.map((one) => one.key).join('\u0000')
  const group = usage.group_by
  return useMemo(() => {
    const before = held.current.group === group ? held.current.tones : new Map<string, Tone>()
    const tones = assign(before, keys.split('\u0000'), group !== 'none')
    held.current = { group, tones }
    return tones
  }, [keys, group])
}

function TrendsSkeleton() {
  return (
    <div role="status">
      <span className="hidden-visually">Loading usage</span>
      <div className="trends-head">
        <Skeleton width="14rem" height="2.25rem" />
        <Skeleton width="24rem" height="1.25rem" />
      </div>
      <div className="trends-tools">
        <Skeleton height="var(--control)" />
      </div>
      <Skeleton height="300px" />
      <Skeleton height="2.25rem" />
    </div>
  )
}
