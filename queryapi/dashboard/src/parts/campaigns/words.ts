import type { Schemas } from '../../api/client'
import { day, percent, rounded } from '../../format'

export type Campaign = Schemas['Campaign']
export type Campaigns = Schemas['Campaigns']

/** nameOf is what a campaign is called; one that nobody described goes by its id. */
export const nameOf = ({ name, campaign_id }: Pick<Campaign, 'name' | 'campaign_id'>) => name || campaign_id

/** noCampaign stands in the address for what no campaign used; no id of a campaign may have this character. */
export const noCampaign = '~'

/** over says that nothing more is expected of a campaign. */
export const over = ({ status }: Pick<Campaign, 'status'>) => status === 'PAUSED' || status === 'COMPLETED'

/** projectedPercent is where the quota is expected to stand in the end; null: nobody knows, or there is no quota. */
export function projectedPercent({ quota, projected }: Pick<Campaign, 'quota' | 'projected'>): number | null {
  if (quota === null || projected.p50 === null || !(Number(quota) > 0)) return null
  return (Number(projected.p50) / Number(quota)) * 100
}

/** methodOf says in words where a projection comes from. */
export function methodOf({ status, projected }: Pick<Campaign, 'status' | 'projected'>): string {
  if (status === 'PAUSED') return 'Paused: stays as it is'
  if (status === 'COMPLETED') return 'Completed: stays as it is'
  switch (projected.method) {
    case 'seasonal':
      return 'From the hours of its past weeks'
    case 'run_rate':
      return 'From its recent rate'
    default:
      return 'Too little is known yet'
  }
}

/** methodShort is the same in two or three words. */
export function methodShort({ status, projected }: Pick<Campaign, 'status' | 'projected'>): string {
  if (status === 'PAUSED') return 'paused'
  if (status === 'COMPLETED') return 'completed'
  return projected.method === 'seasonal' ? 'seasonal' : 'run rate'
}

/** bandOf is the range in which eight of ten futures end; null where they do not differ. */
export function bandOf({ p10, p90 }: Schemas['Projection']): string | null {
  if (p10 === null || p90 === null) return null
  const [low, high] = [rounded(p10), rounded(p90)]
  return low === high ? null : `${low} to ${high}`
}

/** sharePercent writes a part of a quota or a total, never 0 or 100 for what is not; fixed is for columns. */
export function sharePercent(value: number, fixed = false): string {
  if (value > 0 && value < 0.1) return `< ${percent(0.1)}`
  if (value < 0 && value > -0.1) return `> ${percent(-0.1)}`
  if (value < 100 && value > 99.9) return percent(99.9)
  return percent(value, Math.abs(value) >= 1000 ? 0 : 1, fixed)
}

/** quotaNote says when a quota is reached, or that it is; empty: that is not expected. */
export function quotaNote(campaign: Campaign, zone: string): { text: string; tone: 'warn' | 'bad' } | null {
  const { quota_used_percent: used, quota_exhausts_at: at } = campaign
  if (used === null) return null
  if (used > 100) return { text: 'Over its quota', tone: 'bad' }
  if (used === 100) return { text: 'Quota used up', tone: 'bad' }
  return at === null ? null : { text: `Reached on ${day(at, zone)}`, tone: 'warn' }
}

/** restLabel names what is in the total but in no row that is shown. */
export function restLabel({ filtered, whole }: { filtered: boolean; whole: boolean }): string {
  if (filtered) return whole ? 'Campaigns that are filtered out' : 'Campaigns not shown'
  return whole ? 'Counted while the list was read' : 'Campaigns further down'
}
