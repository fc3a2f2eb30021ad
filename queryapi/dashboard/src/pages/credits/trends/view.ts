import type { UsageQuery } from '../../../api/queries'
import { noCampaign } from '../../../parts/campaigns/words'
import type { View as Look } from '../../../parts/chart/model'

export type Bucket = NonNullable<UsageQuery['bucket']>
export type Group = NonNullable<UsageQuery['group_by']>

/** buckets in the order in which they are offered. */
export const buckets: { value: Bucket; text: string; length: number }[] = [
  { value: 'auto', text: 'Automatic', length: Number.POSITIVE_INFINITY },
  { value: '1m', text: '1 minute', length: 60_000 },
  { value: '15m', text: '15 minutes', length: 900_000 },
  { value: '1h', text: '1 hour', length: 3_600_000 },
  { value: '1d', text: '1 day', length: 86_400_000 },
  { value: '1w', text: '1 week', length: 7 * 86_400_000 },
  { value: '1mo', text: '1 month', length: 28 * 86_400_000 },
]

/** mostPoints is what the API gives of a series at the most (DESIGN section 7). */
export const mostPoints = 2000

/** tooMany says whether a range has more buckets than the API gives. */
export function tooMany(bucket: Bucket, from: string, to: string): boolean {
  const length = buckets.find((b) => b.value === bucket)?.length ?? 0
  // The first and the last bucket may be cut off.
  return length > 0 && (Date.parse(to) - Date.parse(from)) / length > mostPoints
}

/** View is how usage is looked at; it stands in the address. */
export type View = {
  bucket: Bucket
  group: Group
  look: Look
  compare: boolean
  table: boolean
  /** null: all; '': unattributed. */
  campaign: string | null
  /** Parameters that make no sense, so that the default stands instead. */
  ignored: string[]
}

/** viewOf reads the address. */
export function viewOf(query: URLSearchParams): View {
  const ignored: string[] = []
  const one = <T extends string>(key: string, known: readonly T[], fallback: T): T => {
    const value = query.get(key)
    if (value === null) return fallback
    const found = known.find((k) => k === value)
    if (found === undefined) ignored.push(key)
    return found ?? fallback
  }
  const campaign = query.get('campaign')
  const valid = campaign === null || campaign === noCampaign || /^[A-Za-z0-9._:-]{1,128}$/.test(campaign)
  if (!valid) ignored.push('campaign')
  return {
    bucket: one(
      'bucket',
      buckets.map((b) => b.value),
      'auto',
    ),
    group: one('group', ['campaign', 'action', 'none'], 'campaign'),
    look: one('view', ['bars', 'cumulative'], 'bars'),
    compare: one('compare', ['previous', 'none'], 'none') === 'previous',
    table: one('table', ['1', '0'], '0') === '1',
    campaign: !valid || campaign === null ? null : campaign === noCampaign ? '' : campaign,
    ignored: [...(zoneKnown(query.get('zone')) ? [] : ['zone']), ...ignored],
  }
}

const zoneKnown = (zone: string | null) => zone === null || ['workspace', 'utc', 'browser'].includes(zone)

const words: Record<string, string> = {
  from: 'its start',
  to: 'its end',
  preset: 'the range',
  bucket: 'the bucket',
  group: 'the grouping',
  view: 'the view',
  compare: 'the comparison',
  table: 'the table',
  campaign: 'the campaign',
  zone: 'the time zone',
}

/** ignoredText says what of the address could not be read; null: nothing. */
export function ignoredText(ignored: string[]): string | null {
  if (ignored.length === 0) return null
  const list = new Intl.ListFormat('en').format(ignored.map((key) => words[key] ?? key))
  return `The address asks for something that cannot be shown (${list}). The usual is shown instead.`
}
