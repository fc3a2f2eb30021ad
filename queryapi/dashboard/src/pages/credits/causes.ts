import type { Schemas } from '../../api/client'
import { percent } from '../../format'

export type Burn = Schemas['BurnChange']
export type Part = Schemas['Contribution']

/** Since is what the last day is compared with. */
export type Since = 'yesterday' | 'week'

/** changeOf is by how many credits an hour the last day differs, of the workspace or of a campaign. */
export const changeOf = (of: Pick<Part, 'since_yesterday' | 'since_last_week'>, since: Since) =>
  since === 'yesterday' ? of.since_yesterday : of.since_last_week

/** partsOf are campaigns by how much they changed, the largest first. */
export function partsOf(burn: Burn, since: Since): Part[] {
  const size = (part: Part) => Math.abs(Number(changeOf(part, since)))
  return burn.contributions.toSorted((a, b) => size(b) - size(a))
}

/** percentOf is a campaign's part in the workspace's change; null: there is none. Below 0 it went against it. */
export function percentOf(part: Part, burn: Burn, since: Since): number | null {
  const whole = Number(changeOf(burn, since))
  return whole === 0 ? null : (Number(changeOf(part, since)) / whole) * 100
}

/** partName is what a campaign is called in a sentence. */
export const partName = ({ name, campaign_id }: Part) => name || campaign_id || 'Usage without a campaign'

/** causeOf says in a sentence whose doing a change is. */
export function causeOf(burn: Burn, since: Since): string {
  const before = since === 'yesterday' ? 'the day before' : 'the same day a week ago'
  const [first] = partsOf(burn, since)
  if (!first) return 'Nothing was used in the last eight days.'
  const share = percentOf(first, burn, since)
  if (share === null) return `As much was used in the last day as in ${before}.`
  const direction = Number(changeOf(burn, since)) > 0 ? 'increase' : 'decrease'
  if (share <= 0) return `${partName(first)} went against the ${direction} since ${before}.`
  if (share > 100) return `${partName(first)} is more than the whole ${direction} since ${before}: others went the other way.`
  return `${partName(first)} is ${percent(share, 0)} of the ${direction} since ${before}.`
}
