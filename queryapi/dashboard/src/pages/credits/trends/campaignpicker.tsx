import { useQuery } from '@tanstack/react-query'
import { useDeferredValue, useState } from 'react'
import { Button, ComboBox, Input, ListBox, ListBoxItem, Popover } from 'react-aria-components'
import { api, body } from '../../../api/client'
import { Icon } from '../../../parts/icon'
import { noCampaign } from './view'
import '../../../parts/combo.css'

/** found is how many campaigns are offered: who does not see theirs types more of its name. */
const found = 50
/** everyCampaign is no filter; no id of a campaign may have this character. */
const everyCampaign = '*'

type Props = { workspace: string; campaign: string | null; name: string; onChange: (campaign: string | null) => void }

/** CampaignPicker narrows usage to one campaign of however many; the API searches. */
export function CampaignPicker({ workspace, campaign, name, onChange }: Props) {
  const chosen = campaign === null ? 'All campaigns' : campaign === '' ? 'Unattributed' : name
  return <Picker key={`${campaign} ${chosen}`} workspace={workspace} campaign={campaign} chosen={chosen} onChange={onChange} />
}

function Picker({ workspace, campaign, chosen, onChange }: Omit<Props, 'name'> & { chosen: string }) {
  const [text, setText] = useState(chosen)
  const [asked, setAsked] = useState(false)
  // What is chosen is no search: all are offered beside it.
  const q = useDeferredValue(text === chosen ? '' : text.trim().slice(0, 256))
  const list = useQuery({
    queryKey: ['w', workspace, 'names', 'search', q],
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/campaigns', {
          params: { path: { workspace_id: workspace }, query: { limit: found, sort: 'used', ...(q ? { q } : {}) } },
          signal,
        }),
      ),
    staleTime: 60_000,
    placeholderData: (previous) => previous,
    enabled: asked,
  })
  const campaigns = list.data?.items.filter((c) => c.campaign_id !== '') ?? []
  const fixed = [
    { id: everyCampaign, text: 'All campaigns' },
    { id: noCampaign, text: 'Unattributed' },
  ].filter((option) => option.text.toLowerCase().includes(q.toLowerCase()))
  const items = [...fixed, ...campaigns.map((c) => ({ id: c.campaign_id, text: c.name ?? c.campaign_id }))]
  return (
    <ComboBox
      className="combo trends-campaign"
      aria-label="Campaign"
      items={items}
      inputValue={text}
      onInputChange={setText}
      selectedKey={campaign === null ? everyCampaign : campaign || noCampaign}
      onSelectionChange={(key) => {
        if (key === null) return
        onChange(key === everyCampaign ? null : String(key))
      }}
      onFocus={() => setAsked(true)}
      onBlur={() => setText(chosen)}
      menuTrigger="focus"
      allowsEmptyCollection
    >
      <div className="combo-field">
        <Input className="input" dir="auto" title={chosen} onFocus={(event) => event.target.select()} />
        <Button className="button button-icon" aria-label="Show campaigns">
          <Icon name="down" />
        </Button>
      </div>
      <Popover className="combo-popover" offset={4}>
        <ListBox
          className="combo-list"
          renderEmptyState={() => <p className="combo-none soft">{list.isFetching ? 'Searching' : 'Nothing found'}</p>}
        >
          {(option: { id: string; text: string }) => (
            <ListBoxItem className="combo-option" id={option.id} textValue={option.text}>
              <bdi className="combo-text">{option.text}</bdi>
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </ComboBox>
  )
}
