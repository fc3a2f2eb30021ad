import type { Instants } from '../../parts/range/presets'
import { entryTypes, type View } from './view'

/** Dataset is what an export has rows of. */
export type Dataset = 'history' | 'events'
export type ExportFormat = 'csv' | 'ndjson' | 'parquet'

/** formats in the order in which they are offered. */
export const formats: { key: ExportFormat; text: string; note: string }[] = [
  { key: 'csv', text: 'CSV', note: 'For spreadsheets' },
  { key: 'ndjson', text: 'NDJSON', note: 'For programs' },
  { key: 'parquet', text: 'Parquet', note: 'For data tools' },
]

/** exportUrl is the address of a file with what a view shows. */
export function exportUrl(
  workspace: string,
  dataset: Dataset,
  format: ExportFormat,
  view: View,
  range: Instants,
  zone: string,
): string {
  const query = new URLSearchParams({ dataset, format })
  if (range.from) query.set('from', range.from)
  if (range.to) query.set('to', range.to)
  if (view.campaign !== null) query.set('campaign_id', view.campaign)
  if (dataset === 'history') {
    query.set('view', view.view)
    query.set('tz', zone)
    if (view.types.length > 0 && view.types.length < entryTypes.length) query.set('type', view.types.join(','))
  }
  return `/v1/workspaces/${encodeURIComponent(workspace)}/export?${query}`
}
