import type { Schemas } from '../api/client'
import { rounded } from '../format'
import type { Level } from './chart/model'

// At which figures rules fire, to be seen in a chart. Floats are good enough for where a line is.

type Rule = Pick<Schemas['AlertRule'], 'kind' | 'name' | 'enabled' | 'params'>
type Params = { credits?: string; percent?: number; campaign_id?: string }

const of = (rules: Rule[], kind: Rule['kind']) =>
  rules.filter((rule) => rule.enabled && rule.kind === kind).map(({ name, params }) => ({ name, params: params as Params }))

/** balanceLevels are what is left when rules fire; percentages are of what was allocated. */
export function balanceLevels(rules: Rule[], allocated: string): Level[] {
  return of(rules, 'balance_below').map(({ name, params: { credits, percent } }) => ({
    name: `Alert: ${name}`,
    value: credits === undefined ? (Number(allocated) * (percent ?? 0)) / 100 : Number(credits),
  }))
}

/** usedLevels are what will have been used when rules fire, if nothing but usage changes the balance from now on. */
export function usedLevels(rules: Rule[], used: string, balance: { remaining: string; allocated: string }): Level[] {
  const whole = Number(used) + Number(balance.remaining)
  return balanceLevels(rules, balance.allocated).flatMap(({ name, value }) =>
    whole > value ? [{ name, value: whole - value }] : [],
  )
}

/** quotaLevels are what a campaign has used when rules fire, with its quota. */
export function quotaLevels(rules: Rule[], quota: string | null, campaign: string): Level[] {
  if (quota === null) return []
  const levels = of(rules, 'quota_used')
    .filter(({ params }) => !params.campaign_id || params.campaign_id === campaign)
    .map(({ name, params }) => ({ name: `Alert: ${name}`, value: (Number(quota) * (params.percent ?? 0)) / 100 }))
  return joined([{ name: 'Quota', value: Number(quota) }, ...levels])
}

/** joined has one line where several are the same figure. */
export function joined(levels: Level[]): Level[] {
  const names = new Map<number, string[]>()
  for (const { name, value } of levels) names.set(value, [...(names.get(value) ?? []), name])
  return [...names].map(([value, all]) => ({ value, name: all.join('. ') }))
}

/** levelWords say a level to who does not see its line. */
export const levelWords = ({ name, value }: Level) => `${name}: ${rounded(value)}`

/** labelHeight is how far apart labels stand, in pixels. */
const labelHeight = 13

/**
 * labelled says where the label of each level stands, downwards in pixels: above its line, or below where it would
 * touch that of a higher level. y is where a figure is.
 */
export function labelled(levels: Level[], y: (value: number) => number): (Level & { at: number; label: number })[] {
  let last = Number.NEGATIVE_INFINITY
  return levels
    .toSorted((a, b) => b.value - a.value)
    .map((level) => {
      const at = y(level.value)
      last = at - 4 >= last + labelHeight ? at - 4 : Math.max(at + 11, last + labelHeight)
      return { ...level, at, label: last }
    })
}
