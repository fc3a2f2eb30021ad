import { ago, day, instantSeconds, rounded } from '../../format'
import { Amount } from '../amount'
import { Meter } from '../meter'
import { bandOf, type Campaign, methodOf, methodShort, projectedPercent, quotaNote, sharePercent } from './words'

/** QuotaCell is what is used of a quota, with the mark of where it goes. */
export function QuotaCell({ campaign, zone }: { campaign: Campaign; zone: string }) {
  const { quota, quota_used, quota_used_percent: used } = campaign
  if (quota === null || used === null) return <span className="soft">No quota</span>
  const note = quotaNote(campaign, zone)
  return (
    <div className="quota">
      <p className="quota-line">
        <span className="figure" title={`${quota_used} of ${quota} credits`}>
          <strong>{sharePercent(used)}</strong> <span className="soft">of</span> <Amount value={quota} />
        </span>
      </p>
      <Meter percent={used} label="Used of the quota" projected={projectedPercent(campaign)} />
      {note ? <p className={`small quota-note tone-${note.tone}`}>{note.text}</p> : null}
    </div>
  )
}

/** ProjectedCell is what will have been used in the end, with its range and where it comes from. */
export function ProjectedCell({ campaign, zone, band }: { campaign: Campaign; zone: string; band: boolean }) {
  const { projected } = campaign
  const why = methodOf(campaign)
  if (projected.p50 === null) return <span className="soft small">{why}</span>
  const range = band ? bandOf(projected) : null
  const by = projected.at === null ? '' : ` by ${day(projected.at, zone)}`
  return (
    <div className="projected" title={`${why}. Credits used over its whole life${by}.`}>
      <p className="figure">{rounded(projected.p50)}</p>
      {band ? (
        <p className="soft small">
          {range ? (
            <>
              <span className="figure">{range}</span>
              <br />
            </>
          ) : null}
          {methodShort(campaign)}
        </p>
      ) : projected.at !== null ? (
        <p className="soft small">by {day(projected.at, zone)}</p>
      ) : null}
    </div>
  )
}

/** LastUsedCell says how long ago a campaign used something. */
export function LastUsedCell({ campaign, zone, now }: { campaign: Campaign; zone: string; now: number }) {
  const at = campaign.last_event_at
  if (at === null) return <span className="soft">Never</span>
  return (
    <time dateTime={at} title={instantSeconds(at, zone)}>
      {/* What was counted since the clock was read is not to come. */}
      {ago(at, Math.max(now, Date.parse(at)))}
    </time>
  )
}
