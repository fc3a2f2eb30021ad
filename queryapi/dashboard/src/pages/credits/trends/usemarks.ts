import { useQueries } from '@tanstack/react-query'
import { useMemo } from 'react'
import { api, body, type Schemas } from '../../../api/client'
import type { Mark } from '../../../parts/chart/model'
import { grantMarks, statusMarks } from './marks'

/** fresh is how long what happened to campaigns is taken for known, in milliseconds. */
const fresh = 5 * 60_000

/** useMarks knows what happened to the grants of a workspace and to the campaigns that are shown. */
export function useMarks(
  workspace: string,
  usage: Schemas['Usage'] | undefined,
  grants: Schemas['BalanceGrant'][] | undefined,
): Mark[] {
  const named = usage?.group_by === 'campaign' ? usage.series.filter((one) => one.key !== '') : []
  const changes = useQueries({
    queries: named.map(({ key, name }) => ({
      queryKey: ['w', workspace, 'changes', key],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const path = { workspace_id: workspace, campaign_id: key }
        const detail = await body(api.GET('/v1/workspaces/{workspace_id}/campaigns/{campaign_id}', { params: { path }, signal }))
        return statusMarks(detail.status_changes, name ?? key)
      },
      staleTime: fresh,
      retry: false,
    })),
    combine: (results) => JSON.stringify(results.flatMap((result) => result.data ?? [])),
  })
  return useMemo(() => [...grantMarks(grants ?? []), ...(JSON.parse(changes) as Mark[])], [grants, changes])
}
