import { Badge } from '../../parts/badge'
import { nameOf } from '../../parts/campaigns/words'
import { Copy } from '../../parts/copy'
import { Skeleton } from '../../parts/states'
import { type Detail, datesOf } from './words'

/** Head is what a campaign is called, how it stands and when it runs. */
export function Head({ campaign, zone }: { campaign: Detail; zone: string }) {
  const dates = datesOf(campaign, zone)
  return (
    <>
      <div className="campaign-title">
        <h1>
          <bdi>{nameOf(campaign)}</bdi>
        </h1>
        {campaign.status === null ? null : <Badge status={campaign.status} />}
      </div>
      <Facts id={campaign.campaign_id} dates={dates} />
    </>
  )
}

function Facts({ id, dates }: { id: string; dates: string | null }) {
  return (
    <p className="campaign-facts soft small">
      <code>{id}</code>
      <Copy text={id} what="campaign id" />
      {dates ? <span>{dates}</span> : null}
    </p>
  )
}

/** HeadSkeleton has the heading's height; the id is known before anything else. */
export function HeadSkeleton({ id }: { id: string }) {
  return (
    <>
      <div className="campaign-title" role="status">
        <h1>
          <span className="hidden-visually">Loading campaign {id}</span>
          <Skeleton width="18rem" height="1.5rem" />
        </h1>
      </div>
      <Facts id={id} dates={null} />
    </>
  )
}
