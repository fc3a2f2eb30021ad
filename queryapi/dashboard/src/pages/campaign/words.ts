import type { Schemas } from '../../api/client'
import { less } from '../../credits'
import { amount, day, instant } from '../../format'
import { over } from '../../parts/campaigns/words'

export type Detail = Schemas['CampaignDetail']

export type Verdict = { tone: 'good' | 'plain' | 'warn' | 'bad'; text: string }

/** soon is how near an instant has its time of day said, in milliseconds. */
const soon = 48 * 3_600_000

/** quotaVerdict says in a sentence or two what becomes of a quota; null: there is none. */
export function quotaVerdict(campaign: Detail, zone: string, now: number): Verdict | null {
  const { quota, quota_used, quota_used_percent: percent, quota_exhausts_at: at, projected } = campaign
  if (quota === null || percent === null) return null
  const beyond = less(quota_used, quota)
  if (beyond === '0') return { tone: 'bad', text: 'The quota is used up.' }
  if (!beyond.startsWith('-')) return { tone: 'bad', text: `The campaign is ${amount(beyond)} credits over its quota.` }
  if (campaign.status === 'COMPLETED') return { tone: 'plain', text: 'The campaign is completed. Nothing more is expected.' }
  if (over(campaign)) return { tone: 'plain', text: 'The campaign is paused. While it is, nothing more is expected.' }
  if (at !== null) {
    const when = Date.parse(at) - now < soon ? instant(at, zone) : day(at, zone)
    return { tone: 'warn', text: `At this rate the quota is reached on ${when}${beforeEnd(at, campaign.ends_at)}.` }
  }
  if (projected.p50 === null || projected.at === null) {
    return { tone: 'plain', text: 'Too little is known yet to say whether the quota is reached.' }
  }
  const end = day(Date.parse(projected.at) - 1, zone)
  const close = projected.p90 !== null && !less(projected.p90, quota).startsWith('-')
  if (close) return { tone: 'plain', text: `The quota is likely to last until ${end}, but not certain to.` }
  return { tone: 'good', text: `The quota lasts until ${end} as things go.` }
}

/** beforeEnd says how many days a quota is reached before a campaign ends; nothing if that is less than one. */
function beforeEnd(at: string, end: string | null | undefined): string {
  if (!end) return ''
  const days = Math.floor((Date.parse(end) - Date.parse(at)) / 86_400_000)
  return days < 1 ? '' : `, ${days === 1 ? 'a day' : `${days} days`} before the campaign ends`
}

/** The least and the most that a bar of a quota spans, in percent: the mark at 100 stands inside of it. */
const span = { least: 108, most: 400 }

/** scaleOf is what percent the end of a quota's bar stands for, so that what is expected is on it. */
export function scaleOf(used: number, projected: number | null): number {
  return Math.min(Math.max(span.least, used * 1.04, (projected ?? 0) * 1.04), span.most)
}

/** marksOf are the marks of a quota's bar that have room for a figure; the others are lines alone. */
export function marksOf(scale: number): { at: number; named: boolean }[] {
  return [50, 75, 90, 100].map((at) => ({ at, named: scale <= 115 || at === 100 || (at === 50 && scale <= 300) }))
}

/** datesOf says when a campaign runs; null: nobody said. */
export function datesOf({ starts_at, ends_at }: Pick<Detail, 'starts_at' | 'ends_at'>, zone: string): string | null {
  if (starts_at && ends_at) return `${day(starts_at, zone)} to ${day(Date.parse(ends_at) - 1, zone)}`
  if (starts_at) return `Since ${day(starts_at, zone)}`
  return ends_at ? `Until ${day(Date.parse(ends_at) - 1, zone)}` : null
}
