import type { Bucket, View } from './view'

/** File is what can be saved of a range. */
export type File = 'usage-csv' | 'usage-ndjson' | 'usage-parquet' | 'events-csv'

/** files in the order in which they are offered. */
export const files: { key: File; text: string }[] = [
  { key: 'usage-csv', text: 'Usage as CSV' },
  { key: 'usage-ndjson', text: 'Usage as NDJSON' },
  { key: 'usage-parquet', text: 'Usage as Parquet' },
  { key: 'events-csv', text: 'Raw events as CSV' },
]

/** exportUrl is the address of a file. Usage has all campaigns, in days where weeks or months are shown. */
export function exportUrl(
  workspace: string,
  file: File,
  { from, to, bucket }: { from: string; to: string; bucket: Exclude<Bucket, 'auto'> },
  zone: string,
  campaign: View['campaign'],
): string {
  const [dataset = 'usage', format = 'csv'] = file.split('-')
  const query = new URLSearchParams({ dataset, format, from, to })
  if (dataset === 'usage') {
    query.set('bucket', bucket === '1w' || bucket === '1mo' ? '1d' : bucket)
    query.set('tz', zone)
  } else if (campaign !== null) query.set('campaign_id', campaign)
  return `/v1/workspaces/${encodeURIComponent(workspace)}/export?${query}`
}
