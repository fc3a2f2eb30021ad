import type { Schemas } from '../../api/client'
import { clock, clockSeconds, count, day, dayShort, instantSeconds, isNegative } from '../../format'
import type { IconName } from '../../parts/icon'
import type { EntryType } from './view'

type Item = Schemas['HistoryItem']

/** typeWords are the types of entries as they are shown. */
export const typeWords: Record<EntryType, string> = {
  consumption: 'Consumption',
  grant: 'Grant',
  adjustment: 'Adjustment',
  expiry: 'Expiry',
  void: 'Void',
}

/** iconOf goes with the word. */
export function iconOf(item: Item): IconName {
  switch (item.type) {
    case 'consumption':
      return isNegative(item.credits) ? 'refund' : 'spend'
    case 'grant':
      return 'plus'
    case 'adjustment':
      return 'change'
    case 'expiry':
      return 'expiry'
    case 'void':
      return 'void'
  }
}

/** unmovedWords say why an entry changed nothing. */
export const unmovedWords: Record<NonNullable<Item['unmoved']>, string> = {
  unknown_grant: 'No change: the grant it names is not known.',
  cancelled: 'No change: the grant was voided before it took effect.',
  never_effective: 'No change: the grant ends in the minute in which it starts.',
  scheduled: 'No change of its own: the grant had not taken effect.',
  ended: 'No change: the grant had ended.',
  nothing_left: 'No change: nothing was left of the grant.',
}

/** toneOf is the colour of a change: what came, what was used, what was lost otherwise. */
export function toneOf(item: Item): 'good' | 'plain' | 'bad' {
  if (Number(item.change) > 0) return 'good'
  if (item.type === 'consumption' || Number(item.change) === 0) return 'plain'
  return 'bad'
}

/** isGrouped tells of what a campaign used in one day. */
export const isGrouped = (item: Item) => item.type === 'consumption' && item.from !== null && item.to !== null

/** whenOf says when in its day an entry was; usage of part of a day says of which. */
export function whenOf(item: Item, zone: string, now: number): string {
  if (item.from === null || item.to === null) return clockSeconds(item.at, zone)
  const from = clock(item.from, zone)
  const to = clock(item.to, zone)
  const begins = from !== '00:00'
  // The end of a day reads 00:00 of the next.
  const ends = to !== '00:00'
  if (!begins && !ends) return Date.parse(item.to) > now ? 'So far' : 'All day'
  if (!ends) return `From ${from}`
  return begins ? `${from}\u2013${to}` : `Until ${to}`
}

/** fullWhen is the same with the date and seconds. */
export function fullWhen(item: Item, zone: string): string {
  if (item.from === null || item.to === null) return instantSeconds(item.at, zone)
  return `${dayShort(item.from, zone)}, ${clock(item.from, zone)} \u2013 ${day(item.to, zone)}, ${clock(item.to, zone)}`
}

/** eventsWord counts events. */
export const eventsWord = (n: number) => `${count(n)} ${n === 1 ? 'event' : 'events'}`

/** Titles are what an entry is about: the first line, and a quieter one under it. */
export type Titles = { main: string; more: string; campaign: boolean }

/** titlesOf names what an entry is about; nameOf knows the names of campaigns. */
export function titlesOf(item: Item, nameOf: (campaign: string) => string): Titles {
  const note = item.note ?? ''
  switch (item.type) {
    case 'consumption': {
      const main = item.campaign_id ? nameOf(item.campaign_id) : 'Unattributed'
      const refund = isNegative(item.credits) ? 'Refund' : ''
      const more = item.events === null ? (item.action ?? '') : eventsWord(item.events)
      return { main, more: [refund, more].filter(Boolean).join(', '), campaign: Boolean(item.campaign_id) }
    }
    case 'adjustment':
      return {
        main: note || (item.grant_id ? `Of ${item.grant_id}` : 'Of the workspace'),
        more: note && item.grant_id ? item.grant_id : '',
        campaign: false,
      }
    case 'expiry':
      return { main: item.grant_id ?? '', more: 'What was left of the grant', campaign: false }
    default:
      return { main: item.grant_id ?? '', more: note, campaign: false }
  }
}
