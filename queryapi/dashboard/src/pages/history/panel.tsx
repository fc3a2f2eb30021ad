import { useState } from 'react'
import { ApiError } from '../../api/client'
import { serverNow } from '../../api/clock'
import { zoneName } from '../../format'
import { Icon } from '../../parts/icon'
import { More } from '../../parts/more'
import { Panel } from '../../parts/panel'
import { backwards } from '../../parts/range/address'
import type { Change } from '../../parts/range/fields'
import { type Instants, usualPreset } from '../../parts/range/presets'
import { Ranged } from '../../parts/range/ranged'
import { useChosenRange } from '../../parts/range/usechosen'
import { Segments } from '../../parts/segments'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'
import { navigate, usePlace, withQuery } from '../../router'
import { ExportDialog } from './export'
import { Filters } from './filters'
import { List } from './list'
import { useNames } from './names'
import { useHold } from './usehold'
import { useLog } from './uselog'
import { questionOf, type View, viewOf } from './view'

type Props = { workspace: string; zone: string; weekStart: string; mayExport: boolean }

/** HistoryPanel is the log with its filters, which are in the address. */
export function HistoryPanel({ workspace, zone, weekStart, mayExport }: Props) {
  const place = usePlace()
  const [exporting, setExporting] = useState(false)
  const view = viewOf(place.query)
  const chosen = useChosenRange(workspace, zone, weekStart, 'log')
  const range = chosen.range ?? {}
  const names = useNames(workspace, range)
  const wrong = backwards(range)
  const change: Change = (changes) => navigate(withQuery(place, changes), { replace: true })
  const clear = () => {
    change(cleared)
    // The button that was pressed goes.
    document.getElementById('log-preset')?.focus()
  }
  return (
    <Panel
      title="Entries"
      note={`Newest first. Times in ${zoneName(zone, serverNow())}.`}
      actions={
        <>
          <Segments
            label="What is shown of consumption"
            value={view.view}
            options={[
              { value: 'grouped', text: 'By day' },
              { value: 'events', text: 'Every event' },
            ]}
            onChange={(value) => change({ view: value === 'grouped' ? null : value })}
          />
          {mayExport ? (
            <button type="button" className="button" onClick={() => setExporting(true)} disabled={wrong || chosen.range === null}>
              <Icon name="export" />
              Export
            </button>
          ) : null}
        </>
      }
    >
      <Filters view={view} chosen={chosen} zone={zone} names={names} onChange={change} />
      {wrong ? (
        <p className="notice notice-warn" role="alert">
          <Icon name="warn" />
          <span>The range ends before it begins.</span>
        </p>
      ) : (
        <Ranged workspace={workspace} chosen={chosen} skeleton={<LogSkeleton />}>
          {(range) => (
            <Log
              workspace={workspace}
              zone={zone}
              view={view}
              range={range}
              names={names}
              filtered={filtered(view) || chosen.preset !== usualPreset('log')}
              onClear={clear}
            />
          )}
        </Ranged>
      )}
      {exporting ? (
        <ExportDialog
          workspace={workspace}
          zone={zone}
          view={view}
          range={range}
          nameOf={names.nameOf}
          onClose={() => setExporting(false)}
        />
      ) : null}
    </Panel>
  )
}

/** cleared are no filters. */
const cleared = { type: null, campaign: null, preset: null, from: null, to: null }

const filtered = (view: View) => view.types.length > 0 || view.campaign !== null

type LogProps = {
  workspace: string
  zone: string
  view: View
  range: Instants
  names: ReturnType<typeof useNames>
  filtered: boolean
  onClear: () => void
}

const LogSkeleton = () => <SkeletonRows rows={12} label="Loading the history" />

function Log({ workspace, zone, view, range, names, filtered, onClear }: LogProps) {
  const { hold, ref, region } = useHold()
  const live = range.to === undefined || Date.parse(range.to) > serverNow()
  const log = useLog(workspace, questionOf(view, range, zone), { live, hold })
  const newest = () => {
    log.show()
    region.current?.focus({ preventScroll: true })
    region.current?.scrollIntoView({ block: 'start' })
  }
  return (
    <Loaded query={{ ...log.list, data: log.page }} skeleton={<LogSkeleton />} explain={explained}>
      {(page) =>
        page.items.length === 0 ? (
          <Nothing filtered={filtered} onClear={onClear} />
        ) : (
          <div ref={ref} className={`log ${log.list.isPlaceholderData ? 'log-old' : ''}`} tabIndex={-1}>
            <Waiting waiting={log.waiting} onShow={newest} />
            {log.failing ? (
              <p className="notice notice-warn" role="status">
                <Icon name="warn" />
                <span>New entries cannot be read right now. Trying again.</span>
              </p>
            ) : null}
            <List workspace={workspace} zone={zone} items={page.items} nameOf={names.nameOf} busy={log.list.isPlaceholderData} />
            <More pages={log.list} />
            {page.next_cursor === null ? <p className="log-end soft small">This is where the history begins.</p> : null}
          </div>
        )
      }
    </Loaded>
  )
}

/** explained says what to do about a question that the API does not answer. */
function explained(error: unknown): string | null {
  if (!(error instanceof ApiError)) return null
  if (error.code === 'resolution_unavailable') {
    return 'Single events are kept for some months; before that only whole minutes are known. Choose whole days, or a later start.'
  }
  return error.status === 422 ? 'Change the filters, or clear them.' : null
}

function Nothing({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  if (!filtered) {
    return (
      <Empty title="Nothing has happened yet">
        <p>Grants, what campaigns use and all else that changes the balance will stand here.</p>
      </Empty>
    )
  }
  return (
    <Empty title="No entries match">
      <p>
        <button type="button" className="button" onClick={onClear}>
          Clear filters
        </button>
      </p>
    </Empty>
  )
}

function Waiting({ waiting, onShow }: { waiting: { rows: number; more: boolean } | null; onShow: () => void }) {
  const text = waiting
    ? `${waiting.rows}${waiting.more ? ' or more' : ''} new ${waiting.rows === 1 && !waiting.more ? 'entry' : 'entries'}`
    : ''
  return (
    <>
      <div className="log-waiting">
        {waiting ? (
          <button type="button" className="button button-main" onClick={onShow}>
            <Icon name="up" />
            {text}
          </button>
        ) : null}
      </div>
      {/* Said once, not with every one of them. */}
      <p className="hidden-visually" role="status">
        {waiting ? 'There are new entries' : ''}
      </p>
    </>
  )
}
