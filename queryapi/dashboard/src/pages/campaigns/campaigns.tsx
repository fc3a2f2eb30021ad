import { useLive } from '../../api/live'
import { can } from '../../api/queries'
import { CampaignFilters } from '../../parts/campaigns/filters'
import { CampaignTable, CampaignTableSkeleton } from '../../parts/campaigns/table'
import { useCampaignList } from '../../parts/campaigns/view'
import { More } from '../../parts/more'
import { Loaded } from '../../parts/states'
import { paths } from '../../router'
import { FreshnessLine, StaleNotice } from '../../shell/freshness'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import type { ScreenProps } from '../screen'
import { NoCredits } from '../settings'
import { Headline } from './headline'
import { NoCampaigns, NoMatch } from './none'
import './campaigns.css'

/** Campaigns is where one lands: which campaigns there are and what they use. */
export function Campaigns({ me, workspace, ...rest }: ScreenProps) {
  if (can(me, workspace, 'credits:read')) return <CampaignList me={me} workspace={workspace} {...rest} />
  return (
    <>
      <div className="page-head">
        <h1>Campaigns</h1>
      </div>
      <NoCredits />
    </>
  )
}

function CampaignList({ me, workspace }: ScreenProps) {
  const live = useLive(workspace)
  const { zone } = useZone()
  const { place, view, pages, list, query } = useCampaignList(workspace, {})
  const filtered = view.q !== '' || view.status !== null
  const name = me.workspaces.find((w) => w.workspace_id === workspace)?.name ?? workspace
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Campaigns</h1>
          <p className="soft">
            <bdi>{name}</bdi>
          </p>
        </div>
        <div className="page-tools">
          <FreshnessLine live={live} zone={zone} />
          <ZonePicker />
        </div>
      </div>
      <StaleNotice live={live} />
      <Headline workspace={workspace} zone={zone} list={list} query={query} />
      <section className="panel" aria-label="All campaigns" aria-busy={pages.isPending || undefined}>
        <div className="panel-head">
          <CampaignFilters />
          <Found list={list} filtered={filtered} />
        </div>
        <Loaded query={query} skeleton={<CampaignTableSkeleton layout="list" />}>
          {(data) =>
            data.items.length === 0 && !filtered && data.total.events === 0 ? (
              <NoCampaigns />
            ) : (
              <>
                {data.items.length === 0 && filtered ? <NoMatch place={place} /> : null}
                <div className={`campaign-wrap ${pages.isPlaceholderData ? 'campaign-old' : ''}`}>
                  <CampaignTable
                    layout="list"
                    caption="Campaigns"
                    list={data}
                    place={place}
                    view={view}
                    zone={zone}
                    hrefOf={(id) => paths.campaign(workspace, id)}
                  />
                </div>
                <More pages={pages} label="Show more campaigns" />
              </>
            )
          }
        </Loaded>
      </section>
    </>
  )
}

/** Found says how many campaigns are shown, also to who hears the page. */
function Found({ list, filtered }: { list: ReturnType<typeof useCampaignList>['list']; filtered: boolean }) {
  if (!list) return null
  const n = list.items.length
  const of = n === 1 ? 'campaign' : 'campaigns'
  return (
    <p className="soft small campaign-found" role="status">
      {list.whole ? `${n} ${of}${filtered ? ' found' : ''}` : `The first ${n} ${of}`}
    </p>
  )
}
