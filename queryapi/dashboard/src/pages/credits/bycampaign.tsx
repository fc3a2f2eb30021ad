import { useState } from 'react'
import type { Schemas } from '../../api/client'
import { can } from '../../api/queries'
import { download } from '../../csv'
import { day } from '../../format'
import { Amount } from '../../parts/amount'
import { allPages, campaignsCsv, fileName } from '../../parts/campaigns/export'
import { CampaignFilters } from '../../parts/campaigns/filters'
import { CampaignTable, CampaignTableSkeleton } from '../../parts/campaigns/table'
import { type Range, useCampaignList, type View } from '../../parts/campaigns/view'
import { Icon } from '../../parts/icon'
import { More } from '../../parts/more'
import { Panel } from '../../parts/panel'
import { Loaded, what } from '../../parts/states'
import { paths } from '../../router'
import { NoCampaigns, NoMatch } from '../campaigns/none'

type Props = { me: Schemas['Me']; workspace: string; zone: string; range: Range | null }

/** ByCampaign is the third panel: whose usage it is, over the same range as the trends. */
export function ByCampaign({ me, workspace, zone, range }: Props) {
  const { place, view, pages, list, query } = useCampaignList(workspace, range ?? {}, range !== null)
  const filtered = view.q !== '' || view.status !== null
  return (
    <Panel
      title="Usage by Campaign"
      busy={pages.isPending}
      note={
        list ? (
          <>
            <Amount value={list.total.used} /> credits used from {day(list.from, zone)} to {day(Date.parse(list.to) - 1, zone)}
          </>
        ) : (
          '\u00a0'
        )
      }
      actions={
        <>
          <CampaignFilters />
          {range && can(me, workspace, 'credits:export') ? <Export workspace={workspace} view={view} range={range} /> : null}
        </>
      }
    >
      <Loaded query={query} skeleton={<CampaignTableSkeleton layout="usage" />}>
        {(data) =>
          data.items.length === 0 && !filtered && data.total.events === 0 ? (
            <NoCampaigns />
          ) : (
            <>
              {data.items.length === 0 && filtered ? <NoMatch place={place} /> : null}
              <div className={`campaign-wrap ${pages.isPlaceholderData ? 'campaign-old' : ''}`}>
                <CampaignTable
                  layout="usage"
                  caption="Usage by campaign"
                  list={data}
                  place={place}
                  view={view}
                  zone={zone}
                  hrefOf={(id) => paths.campaign(workspace, id)}
                />
              </div>
              <More pages={pages} label="Show more campaigns" />
              <Footnote filtered={filtered} />
            </>
          )
        }
      </Loaded>
    </Panel>
  )
}

function Footnote({ filtered }: { filtered: boolean }) {
  return (
    <p className="soft small campaign-note">
      {filtered
        ? 'The search and the status leave campaigns out; what they used is in a row of its own, so that the rows add up to the total. '
        : 'The rows add up to the total of the workspace. '}
      Quotas and projections count the whole life of a campaign, whatever the range. Of ten futures, eight end within the range of
      a projection.
    </p>
  )
}

/** Export saves the whole list as it is looked at. */
function Export({ workspace, view, range }: { workspace: string; view: View; range: Range }) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const save = async () => {
    setBusy(true)
    setError(null)
    try {
      const pages = await allPages(workspace, view, range)
      const [first] = pages
      if (first) download(fileName(workspace, first), campaignsCsv(pages))
    } catch (reason) {
      setError(reason)
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <button type="button" className="button" onClick={() => void save()} disabled={busy}>
        <Icon name="export" />
        {busy ? 'Exporting' : 'Export CSV'}
      </button>
      {error ? (
        <p className="small tone-bad" role="alert">
          {what(error).title}
        </p>
      ) : null}
    </>
  )
}
