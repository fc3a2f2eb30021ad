import { useRules } from '../../api/alerts'
import { zoneName } from '../../format'
import { usualPreset } from '../../parts/range/presets'
import { Ranged } from '../../parts/range/ranged'
import { SkeletonRows } from '../../parts/states'
import { usePlace } from '../../router'
import { useNow } from '../../shell/freshness'
import { Attempts } from './attempts'
import { Choice, RangeChoice, RuleChoice } from './filters'
import { type Props, show } from './show'
import { deliveriesQuery, type Outcome, type Sent, sents } from './view'
import { outcomes } from './words'

const sentNames: Record<Sent, string> = { firing: 'Firing', resolved: 'Resolved', test: 'Tests' }

/** Deliveries is every attempt to tell somebody, the newest first. */
export function Deliveries({ workspace, zone, view, chosen }: Props) {
  const now = useNow(60_000)
  const place = usePlace()
  const rules = useRules(workspace)
  const narrowed = view.by || view.outcome || view.sent || chosen.preset !== usualPreset('log')
  return (
    <section className="panel" aria-label="Deliveries">
      <h2 className="hidden-visually">Deliveries</h2>
      <div className="panel-head">
        <search className="alert-filters">
          <RuleChoice by={view.by} rules={rules.data ?? []} />
          <Choice
            label="Messages"
            all="All messages"
            value={view.sent}
            options={sents.map((value) => ({ value, text: sentNames[value] }))}
            onChange={(sent) => show(place, { sent })}
          />
          <Choice
            label="Outcome"
            all="All outcomes"
            value={view.outcome}
            options={(Object.keys(outcomes) as Outcome[]).map((value) => ({ value, text: outcomes[value].text }))}
            onChange={(outcome) => show(place, { outcome })}
          />
          <RangeChoice chosen={chosen} zone={zone} />
        </search>
        <p className="soft small">
          Kept for 90 days.{' '}
          <a href="/docs/webhooks" target="_blank" rel="noreferrer">
            How to receive them
          </a>
          . Times are in {zoneName(zone, now)}
        </p>
      </div>
      <Ranged workspace={workspace} chosen={chosen} skeleton={<SkeletonRows rows={8} label="Loading deliveries" />}>
        {(range) => (
          <Attempts
            workspace={workspace}
            zone={zone}
            query={deliveriesQuery(view, range)}
            none={narrowed ? 'No deliveries match' : 'Nothing has been sent yet'}
          />
        )}
      </Ranged>
    </section>
  )
}
