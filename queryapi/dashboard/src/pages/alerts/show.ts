import type { RefObject } from 'react'
import type { Rule } from '../../api/alerts'
import type { Chosen } from '../../parts/range/address'
import { navigate, type Place, withQuery } from '../../router'
import type { View } from './view'

/** Props are what every part of the tab gets; write says whether one may change rules. */
export type Props = { workspace: string; zone: string; weekStart: string; view: View; chosen: Chosen; write: boolean }

/** RuleProps are what a rule and its parts get. */
export type RuleProps = Props & {
  rule: Rule
  nameOf: (campaign: string) => string
  /** Says what was done, to who hears the page as well. */
  onSaid: (said: string) => void
  /** Where focus goes when the rule is deleted. */
  after: RefObject<HTMLElement | null>
}

/** show changes the view without leaving a step to go back to. */
export function show(place: Place, changes: Record<string, string | null>) {
  navigate(withQuery(place, changes), { replace: true })
}
