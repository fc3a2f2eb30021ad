import { api, body } from '../../api/client'
import { share } from '../../credits'
import { csv } from '../../csv'
import { listOf, queryOf, type Range, type View } from './view'
import type { Campaign, Campaigns } from './words'

/** pageSize is the most the API gives at once. */
const pageSize = 1000

/** allPages reads the whole list as it is looked at, also what has not been shown yet. */
export async function allPages(workspace_id: string, view: View, range: Range): Promise<Campaigns[]> {
  const pages: Campaigns[] = []
  for (let cursor: string | null = ''; cursor !== null; cursor = pages.at(-1)?.next_cursor ?? null) {
    const query = { ...queryOf(view, range), limit: pageSize, ...(cursor ? { cursor } : {}) }
    pages.push(await body(api.GET('/v1/workspaces/{workspace_id}/campaigns', { params: { path: { workspace_id }, query } })))
  }
  return pages
}

const heading = [
  'campaign_id',
  'name',
  'status',
  'credits_used',
  'share_percent',
  'quota',
  'quota_used',
  'quota_used_percent',
  'projected_p10',
  'projected_p50',
  'projected_p90',
  'projected_at',
  'projection_method',
  'quota_exhausts_at',
  'last_event_at',
]

/** campaignsCsv is the list as a file, with the exact amounts of the API; the last row is what no campaign used. */
export function campaignsCsv(pages: Campaigns[]): string {
  const list = listOf(pages)
  if (!list) return csv([heading])
  const part = (used: string) => share(used, list.total.used)?.toFixed(4) ?? null
  const row = (c: Campaign) => [
    c.campaign_id,
    c.name,
    c.status,
    c.used,
    part(c.used),
    c.quota,
    c.quota_used,
    c.quota_used_percent,
    c.projected.p10,
    c.projected.p50,
    c.projected.p90,
    c.projected.at,
    c.projected.method,
    c.quota_exhausts_at,
    c.last_event_at,
  ]
  const { used } = list.unattributed
  return csv([heading, ...list.items.map(row), ['', 'Unattributed', null, used, part(used), ...Array(10).fill(null)]])
}

/** fileName names the workspace and the range: `campaigns_acme_2026-11-13_2026-12-13.csv`. */
export const fileName = (workspace: string, { from, to }: Pick<Campaigns, 'from' | 'to'>) =>
  `campaigns_${workspace.replace(/[^A-Za-z0-9._-]/g, '-')}_${from.slice(0, 10)}_${to.slice(0, 10)}.csv`
