import { serverNow } from '../../api/clock'
import { day } from '../../format'
import { Amount } from '../../parts/amount'
import { choiceOf, lastDays, type RangeChoice } from '../../parts/campaigns/range'
import { Bars } from '../../parts/curve/bars'
import { Panel } from '../../parts/panel'
import { Segments } from '../../parts/segments'
import { Empty } from '../../parts/states'
import { navigate, usePlace, withQuery } from '../../router'
import type { Detail } from './words'

/** Usage is what a campaign used over time, in the range that the address names; old: of the range before it. */
export function Usage({ campaign, zone, old }: { campaign: Detail; zone: string; old: boolean }) {
  const place = usePlace()
  const choice = choiceOf(place.query, zone, serverNow())
  const choose = (next: RangeChoice) => {
    const range = next === 'cycle' || next === 'other' ? { from: null, to: null } : lastDays(next, zone, serverNow())
    navigate(withQuery(place, { preset: null, ...range }), { replace: true })
  }
  const { usage } = campaign
  return (
    <Panel
      title="Usage over time"
      className={old ? 'usage-old' : ''}
      busy={old}
      note={
        <>
          <Amount value={usage.total} /> credits from {day(usage.from, zone)} to {day(Date.parse(usage.to) - 1, zone)}
        </>
      }
      actions={
        <Segments
          label="Range"
          value={choice}
          options={[
            ...(choice === 'other' ? [{ value: 'other' as const, text: 'Chosen range' }] : []),
            { value: 'cycle', text: 'This cycle' },
            { value: '7', text: '7 days' },
            { value: '30', text: '30 days' },
            { value: '90', text: '90 days' },
          ]}
          onChange={choose}
        />
      }
    >
      {usage.points.some((point) => point.events > 0) ? (
        <Bars label="Credits used over time" bars={usage.points} zone={zone} />
      ) : (
        <Empty title="Nothing was used in this time">
          <p>Choose another range to look further back.</p>
        </Empty>
      )}
    </Panel>
  )
}
