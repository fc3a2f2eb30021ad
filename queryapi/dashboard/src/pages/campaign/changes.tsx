import { instant } from '../../format'
import { Badge } from '../../parts/badge'
import { Panel } from '../../parts/panel'
import { Empty } from '../../parts/states'
import type { Detail } from './words'

/** shown is how many changes stand there before one asks for the others. */
const shown = 6

/** Changes is how the status of a campaign went, the last first. */
export function Changes({ campaign, zone }: { campaign: Detail; zone: string }) {
  const changes = campaign.status_changes.toReversed()
  return (
    <Panel title="Status changes" note="The latest first">
      {changes.length === 0 ? (
        <Empty title="No status was sent yet" />
      ) : (
        <>
          <Timeline changes={changes.slice(0, shown)} zone={zone} first={changes.length <= shown} />
          {changes.length > shown ? (
            <details className="timeline-more">
              <summary>{changes.length - shown} earlier</summary>
              <Timeline changes={changes.slice(shown)} zone={zone} first />
            </details>
          ) : null}
        </>
      )}
    </Panel>
  )
}

function Timeline({ changes, zone, first }: { changes: Detail['status_changes']; zone: string; first: boolean }) {
  return (
    <ol className="timeline">
      {changes.map((change, i) => (
        <li key={change.at}>
          <Badge status={change.status} />
          <span className="soft small">
            {first && i === changes.length - 1 ? 'First seen ' : ''}
            <time dateTime={change.at}>{instant(change.at, zone)}</time>
          </span>
        </li>
      ))}
    </ol>
  )
}
