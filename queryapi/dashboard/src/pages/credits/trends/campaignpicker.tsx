import { useQuery } from '@tanstack/react-query'
import { useDeferredValue, useState } from 'react'
import { api, body } from '../../../api/client'
import { amount } from '../../../format'
import { noCampaign } from '../../../parts/campaigns/words'
import { Combo, type Option } from '../../../parts/combo'

/** most is how many campaigns are offered: who does not see theirs types more of its name. */
const most = 50
/** everyCampaign is no filter; no id of a campaign may have this character. */
const everyCampaign = '*'

type Props = {
  workspace: string
  /** null: all; '': unattributed. */
  campaign: string | null
  name: string
  range: { from: string; to: string } | null
  onChange: (campaign: string | null) => void
}

/** CampaignPicker narrows usage to one campaign of however many; the API searches. */
export function CampaignPicker({ workspace, campaign, name, range, onChange }: Props) {
  const [typed, setTyped] = useState<string | null>(null)
  const q = useDeferredValue(typed ?? '')
    .trim()
    .slice(0, 256)
  const list = useQuery({
    queryKey: ['w', workspace, 'names', 'search', q, range],
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/campaigns', {
          params: { path: { workspace_id: workspace }, query: { ...range, limit: most, sort: 'used', ...(q ? { q } : {}) } },
          signal,
        }),
      ),
    staleTime: 60_000,
    placeholderData: (previous) => previous,
    enabled: typed !== null,
  })
  const options: Option[] = [
    { key: everyCampaign, text: 'All campaigns' },
    { key: noCampaign, text: 'Unattributed' },
  ]
  for (const { campaign_id, name: called, used } of list.data?.items ?? []) {
    if (campaign_id === '') continue
    options.push({ key: campaign_id, text: called ?? campaign_id, hint: `${amount(used)} used`, also: campaign_id })
  }
  if (campaign && !options.some((option) => option.key === campaign)) options.push({ key: campaign, text: name, also: campaign })
  return (
    <Combo
      label="Campaign"
      quiet
      options={options}
      value={campaign === null ? everyCampaign : campaign || noCampaign}
      none={everyCampaign}
      onSearch={setTyped}
      onChange={(key) => onChange(key === everyCampaign ? null : key === noCampaign ? '' : key)}
    />
  )
}
