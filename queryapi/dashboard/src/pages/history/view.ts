import type { Schemas } from '../../api/client'
import type { HistoryQuery } from '../../api/queries'
import { noCampaign } from '../../parts/campaigns/words'
import type { Instants } from '../../parts/range/presets'

/** EntryType is the kind of an entry of the history. */
export type EntryType = Schemas['HistoryItem']['type']

/** entryTypes in the order in which they are offered. */
export const entryTypes: EntryType[] = ['consumption', 'grant', 'adjustment', 'expiry', 'void']

/** View is what the address says is looked at, beside the range. */
export type View = {
  view: 'grouped' | 'events'
  /** Empty: all. */
  types: EntryType[]
  /** null: all; '': unattributed. */
  campaign: string | null
}

/** viewOf reads the address; what makes no sense in it is as if it were not there. */
export function viewOf(query: URLSearchParams): View {
  const types = (query.get('type') ?? '').split(',')
  const campaign = query.get('campaign')
  return {
    view: query.get('view') === 'events' ? 'events' : 'grouped',
    types: entryTypes.filter((type) => types.includes(type)),
    campaign: campaign === noCampaign ? '' : campaign || null,
  }
}

/** questionOf is what the API is asked for a view. */
export function questionOf(view: View, range: Instants, zone: string): HistoryQuery {
  return {
    view: view.view,
    tz: zone,
    ...range,
    ...(view.types.length > 0 && view.types.length < entryTypes.length ? { type: view.types } : {}),
    ...(view.campaign !== null ? { campaign_id: view.campaign } : {}),
  }
}
