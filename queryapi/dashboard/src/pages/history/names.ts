import { useQuery } from '@tanstack/react-query'
import { useCallback, useMemo } from 'react'
import { api, body, type Schemas } from '../../api/client'
import type { Instants } from '../../parts/range/presets'

/** manyCampaigns is what is asked for at once, the most that the API gives; the names of further ones are their ids. */
const manyCampaigns = 1000

/** always is before everything that may be asked for (DESIGN section 3). */
const always = '2000-01-01T00:00:00Z'

export type Names = {
  /** By what they used in the range, the most first. */
  campaigns: Schemas['Campaign'][]
  unattributed: Schemas['CampaignUsage'] | undefined
  isPending: boolean
  nameOf: (campaign: string) => string
}

/** useNames knows how campaigns are called and what each used in a range. */
export function useNames(workspace: string, range: Instants): Names {
  const query = useQuery({
    queryKey: ['w', workspace, 'names', range],
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/campaigns', {
          params: {
            path: { workspace_id: workspace },
            query: {
              sort: 'used',
              limit: manyCampaigns,
              from: range.from ?? always,
              ...(range.to ? { to: range.to } : {}),
            },
          },
          signal,
        }),
      ),
    // What was used moves with every event, its order and the names hardly.
    staleTime: 60_000,
    placeholderData: (previous) => previous,
  })
  const names = useMemo(
    () => new Map(query.data?.items.map((campaign) => [campaign.campaign_id, campaign.name ?? campaign.campaign_id])),
    [query.data],
  )
  const nameOf = useCallback((campaign: string) => names.get(campaign) ?? campaign, [names])
  return { campaigns: query.data?.items ?? [], unattributed: query.data?.unattributed, isPending: query.isPending, nameOf }
}
