import type { Sort } from './view'

/** ColumnKey names a column; `band` is `projected` with its range. */
export type ColumnKey = 'name' | 'status' | 'used' | 'share' | 'quota' | 'projected' | 'band' | 'last'

/** columns are all that a table of campaigns may have. */
export const columns: Record<ColumnKey, { title: string; sort?: Sort; num?: boolean }> = {
  name: { title: 'Campaign', sort: 'name' },
  status: { title: 'Status' },
  used: { title: 'Credits used', sort: 'used', num: true },
  share: { title: 'Share of total', num: true },
  quota: { title: 'Quota', sort: 'quota' },
  projected: { title: 'Projected', sort: 'projected', num: true },
  band: { title: 'Projected usage', sort: 'projected', num: true },
  last: { title: 'Last used', num: true },
}

/** layouts are the tables that there are: the list of the first screen, and the panel of Settings > Credits. */
export const layouts = {
  list: ['name', 'status', 'used', 'quota', 'projected', 'last'],
  usage: ['name', 'used', 'share', 'quota', 'band', 'status'],
} as const satisfies Record<string, readonly ColumnKey[]>

export type Layout = keyof typeof layouts
