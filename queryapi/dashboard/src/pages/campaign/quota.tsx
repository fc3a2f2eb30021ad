import type { ReactNode } from 'react'
import { serverNow } from '../../api/clock'
import { day, rounded } from '../../format'
import { Amount } from '../../parts/amount'
import { bandOf, methodOf, projectedPercent, sharePercent } from '../../parts/campaigns/words'
import { Icon } from '../../parts/icon'
import { Panel } from '../../parts/panel'
import { Skeleton } from '../../parts/states'
import { type Detail, marksOf, quotaVerdict, scaleOf } from './words'

/** Quota is what a campaign used in its whole life, of what it may, and where that goes. */
export function Quota({ campaign, zone }: { campaign: Detail; zone: string }) {
  const verdict = quotaVerdict(campaign, zone, serverNow())
  return (
    <Panel title="Quota and projection" note="Over the whole life of the campaign">
      <div className="quota-panel">
        <div className="quota-main">
          <p className="quota-big figure">
            <Amount value={campaign.quota_used} />
          </p>
          {campaign.quota === null ? (
            <p className="soft">credits used. This campaign has no quota.</p>
          ) : (
            <>
              <p className="soft">
                credits used of <Amount value={campaign.quota} />
                {campaign.quota_used_percent === null ? null : <> ({sharePercent(campaign.quota_used_percent)})</>}
              </p>
              <QuotaBar campaign={campaign} />
            </>
          )}
        </div>
        <QuotaFacts campaign={campaign} zone={zone} />
      </div>
      {verdict ? (
        <p className={`notice notice-${verdict.tone} notice-last`}>
          <Icon name={verdict.tone === 'plain' ? 'clock' : verdict.tone} />
          <span>{verdict.text}</span>
        </p>
      ) : null}
    </Panel>
  )
}

/** QuotaBar goes as far as usage is expected to, with marks where alerts use to stand. */
function QuotaBar({ campaign }: { campaign: Detail }) {
  const used = campaign.quota_used_percent ?? 0
  const projected = projectedPercent(campaign)
  const scale = scaleOf(used, projected)
  const at = (percent: number) => `${Math.min(Math.max(percent / scale, 0), 1) * 100}%`
  const tone = used >= 100 ? 'bad' : used >= 90 ? 'warn' : 'plain'
  return (
    <div className="quota-scale">
      <div
        className={`meter quota-bar meter-${tone}`}
        role="meter"
        aria-label="Used of the quota"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.min(Math.max(Math.round(used * 10) / 10, 0), 100)}
        aria-valuetext={sharePercent(used) + (projected === null ? '' : `, ${sharePercent(projected)} projected`)}
      >
        {projected !== null && projected > used ? <span className="meter-ahead" style={{ inlineSize: at(projected) }} /> : null}
        <span className="meter-bar" style={{ inlineSize: at(used) }} />
        {marksOf(scale).map((mark) => (
          <span
            key={mark.at}
            className={`meter-mark ${mark.at === 100 ? 'quota-end' : ''}`}
            style={{ insetInlineStart: at(mark.at) }}
          />
        ))}
      </div>
      <div className="quota-marks soft" aria-hidden="true">
        {marksOf(scale).map((mark) =>
          mark.named ? (
            <span key={mark.at} style={{ insetInlineStart: at(mark.at) }}>
              {mark.at}
            </span>
          ) : null,
        )}
      </div>
    </div>
  )
}

function QuotaFacts({ campaign, zone }: { campaign: Detail; zone: string }) {
  const { projected, usage } = campaign
  const band = bandOf(projected)
  return (
    <dl className="quota-facts">
      <Fact name={projected.at === null ? 'Projected' : `Projected by ${day(Date.parse(projected.at) - 1, zone)}`}>
        {projected.p50 === null ? '–' : <span className="figure">{rounded(projected.p50)}</span>}
        <span className="soft">
          {band ? (
            <>
              <span className="figure">{band}</span> in eight of ten futures.{' '}
            </>
          ) : null}
          {methodOf(campaign)}.
        </span>
      </Fact>
      <Fact name={`Used from ${day(usage.from, zone)} to ${day(Date.parse(usage.to) - 1, zone)}`}>
        <Amount value={campaign.used} />
      </Fact>
    </dl>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="quota-fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** QuotaSkeleton has the panel's height. */
export function QuotaSkeleton() {
  return (
    <section className="panel quota-loading" role="status" aria-busy="true">
      <span className="hidden-visually">Loading the campaign</span>
      <Skeleton width="12rem" height="1.4rem" />
      <Skeleton width="16rem" height="3rem" />
      <Skeleton width="12rem" height="1.25rem" />
      <Skeleton height="1rem" />
      <Skeleton height="2.5rem" />
    </section>
  )
}
