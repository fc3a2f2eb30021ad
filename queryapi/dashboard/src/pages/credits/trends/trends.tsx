import { useMemo, useRef } from 'react'
import { useRules } from '../../../api/alerts'
import type { Schemas } from '../../../api/client'
import { can, useBalance, useUsage } from '../../../api/queries'
import { day, zoneName } from '../../../format'
import { Chart } from '../../../parts/chart/chart'
import type { Data, Tone } from '../../../parts/chart/model'
import { Icon } from '../../../parts/icon'
import { joined, usedLevels } from '../../../parts/levels'
import { Panel } from '../../../parts/panel'
import type { Change } from '../../../parts/range/fields'
import { Ranged } from '../../../parts/range/ranged'
import { RangeTools } from '../../../parts/range/tools'
import type { Followed } from '../../../parts/range/usechosen'
import { weekdayNumber } from '../../../parts/range/week'
import { Empty, Loaded, Skeleton } from '../../../parts/states'
import { navigate, usePlace, withQuery } from '../../../router'
import { assign, dataOf } from './data'
import { ExportMenu } from './exportmenu'
import { Head } from './head'
import { UsageTable } from './table'
import { ViewTools } from './tools'
import { useMarks } from './usemarks'
import { ignoredText, tooMany, type View, viewOf } from './view'
import './trends.css'

type Props = { me: Schemas['Me']; workspace: string; zone: string; weekStart: string; chosen: Followed }

/** Trends is the second panel: how usage went over a range, and how it will go on. */
export function Trends({ me, workspace, zone, weekStart, chosen }: Props) {
  const place = usePlace()
  const read = viewOf(place.query)
  const balance = useBalance(workspace)
  const range = chosen.whole
  const fine = range !== null && tooMany(read.bucket, range.from, range.to)
  const view: View = fine ? { ...read, bucket: 'auto', ignored: [...read.ignored, 'bucket'] } : read
  const query = useUsage(workspace, questionOf(view, chosen, zone), chosen.range !== null)
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
          <RangeTools chosen={chosen} zone={zone} weekStart={weekStart} failed={balance.isError} onChange={change} />
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
      <Ranged workspace={workspace} chosen={chosen} skeleton={<TrendsSkeleton />}>
        {() => (
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
      </Ranged>
    </Panel>
  )
}

/** questionOf is what the API is asked. The period before is always asked for: the head compares with it. */
function questionOf(view: View, chosen: Followed, zone: string) {
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
  const rules = useRules(workspace).data
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
    if (!balance || !cycle || Number(balance.allocated) <= 0) return made
    const allotted = Number(balance.allocated)
    const shares = levelShares.map((share) => ({ value: (allotted * share) / 100, name: `${share} % of allocation` }))
    return { ...made, levels: joined([...shares, ...usedLevels(rules ?? [], usage.total, balance)]) }
  }, [usage, tones, marks, view.compare, view.campaign, balance, rules])
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
      weekStart={weekdayNumber(weekStart)}
      expected={view.look === 'bars' ? 'Forecast' : 'Forecast, with the range of eight in ten futures'}
    />
  )
}

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
