import { useEffect } from 'react'
import { ApiError, type Schemas } from '../../api/client'
import { useLive } from '../../api/live'
import { can, useCampaign } from '../../api/queries'
import { nameOf } from '../../parts/campaigns/words'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { useChosenRange } from '../../parts/range/usechosen'
import { weekStartOf } from '../../parts/range/week'
import { Empty, Loaded } from '../../parts/states'
import { paths } from '../../router'
import { FreshnessLine, StaleNotice } from '../../shell/freshness'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import type { ScreenProps } from '../screen'
import { NoCredits } from '../settings'
import { Actions } from './actions'
import { Changes } from './changes'
import { Course } from './course'
import { Head, HeadSkeleton } from './head'
import { Quota, QuotaSkeleton } from './quota'
import { Recent } from './recent'
import { Usage } from './usage'
import './campaign.css'

/** Campaign is one campaign: its quota, its usage over time, what it was used for, what happened to it. */
export function Campaign({ me, workspace, params }: ScreenProps) {
  const id = params.campaign ?? ''
  if (can(me, workspace, 'credits:read')) return <Shown key={id} me={me} workspace={workspace} id={id} />
  return (
    <>
      <Back workspace={workspace} />
      <h1>Campaign</h1>
      <NoCredits />
    </>
  )
}

function Back({ workspace }: { workspace: string }) {
  return (
    <nav aria-label="Breadcrumb" className="crumbs">
      <Link href={paths.campaigns(workspace)}>
        <Icon name="left" />
        Campaigns
      </Link>
    </nav>
  )
}

function Shown({ me, workspace, id }: { me: Schemas['Me']; workspace: string; id: string }) {
  const live = useLive(workspace)
  const { zone } = useZone()
  const weekStart = weekStartOf(me, workspace)
  const chosen = useChosenRange(workspace, zone, weekStart, 'usage')
  const campaign = useCampaign(workspace, id, { ...chosen.range, tz: zone })
  const { data, error } = campaign
  useEffect(() => {
    if (data) document.title = `${nameOf(data)} · Drawdown`
  }, [data])
  if (error instanceof ApiError && error.code === 'campaign_not_found') return <Unknown workspace={workspace} id={id} />
  return (
    <>
      <div className="campaign-head">
        <div className="page-head">
          <Back workspace={workspace} />
          <div className="page-tools">
            <FreshnessLine live={live} zone={zone} />
            <ZonePicker />
          </div>
        </div>
        {data ? <Head campaign={data} zone={zone} /> : <HeadSkeleton id={id} />}
      </div>
      <StaleNotice live={live} />
      <Loaded query={campaign} skeleton={<QuotaSkeleton />}>
        {(detail) => (
          <>
            {detail.name === null && detail.status === null ? (
              <p className="notice">
                <Icon name="bad" />
                <span>
                  No details were sent for this campaign. Its name, status and quota come with a <code>campaign.updated</code>.
                </span>
              </p>
            ) : null}
            <Quota campaign={detail} zone={zone} />
            <Usage workspace={workspace} campaign={detail} zone={zone} weekStart={weekStart} chosen={chosen} />
            <Course workspace={workspace} campaign={detail} zone={zone} />
            <div className="campaign-pair">
              <Actions workspace={workspace} id={id} chosen={chosen} zone={zone} />
              <Changes campaign={detail} zone={zone} />
            </div>
            <Recent workspace={workspace} id={id} zone={zone} />
          </>
        )}
      </Loaded>
    </>
  )
}

/** Unknown is for an address of a campaign that no counted record names. */
function Unknown({ workspace, id }: { workspace: string; id: string }) {
  return (
    <>
      <Back workspace={workspace} />
      <h1>Campaign</h1>
      <div className="panel">
        <Empty title="There is no such campaign">
          <p>
            Nothing that was counted in this workspace names <code>{id}</code>. A new campaign is here within seconds of its first
            event.
          </p>
        </Empty>
      </div>
    </>
  )
}
