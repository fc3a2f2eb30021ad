import { useRules } from '../../api/alerts'
import { serverNow } from '../../api/clock'
import { day } from '../../format'
import { methodOf, over } from '../../parts/campaigns/words'
import { Curve } from '../../parts/curve/curve'
import type { Point } from '../../parts/curve/scale'
import { quotaLevels } from '../../parts/levels'
import { Panel } from '../../parts/panel'
import { Empty } from '../../parts/states'
import type { Detail } from './words'

/** Course is how the projection of a campaign comes about, against its quota. */
export function Course({ workspace, campaign, zone }: { workspace: string; campaign: Detail; zone: string }) {
  const rules = useRules(workspace).data ?? []
  const { at } = campaign.projection
  return (
    <Panel
      title="Projection"
      note={
        at === null
          ? '\u00a0'
          : `Credits used over the whole life, until ${day(Date.parse(at) - 1, zone)}. ${methodOf(campaign)}.`
      }
    >
      {campaign.projection.curve.length > 0 ? (
        <Curve
          label="Credits that will have been used"
          zone={zone}
          lines={[{ name: 'Projected', points: courseOf(campaign), look: 'main' }]}
          limits={quotaLevels(rules, campaign.quota, campaign.campaign_id)}
        />
      ) : over(campaign) ? (
        <Empty title="Nothing more is expected">
          <p>The campaign is {campaign.status === 'PAUSED' ? 'paused' : 'completed'}.</p>
        </Empty>
      ) : (
        <Empty title="Too little is known yet">
          <p>A projection is made once there has been usage for some hours.</p>
        </Empty>
      )}
    </Panel>
  )
}

/** courseOf begins where usage is now. */
function courseOf({ quota_used, projection }: Detail): Point[] {
  const now = Number(quota_used)
  const course = projection.curve.map(({ at, p10, p50, p90 }) => ({
    at: Date.parse(at),
    value: Number(p50),
    low: Number(p10),
    high: Number(p90),
  }))
  const start = Math.min(serverNow(), course[0]?.at ?? Number.POSITIVE_INFINITY)
  return [{ at: start, value: now, low: now, high: now }, ...course]
}
