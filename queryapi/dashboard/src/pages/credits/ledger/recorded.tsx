import { useEffect } from 'react'
import { useLive } from '../../../api/live'
import { balanceKey, queryClient } from '../../../api/queries'
import { instant } from '../../../format'
import { Icon } from '../../../parts/icon'
import { Link } from '../../../parts/link'
import { paths } from '../../../router'
import type { Entry } from './queries'

/** Made is an entry that Kafka has, and what it was. */
export type Made = { entry: Entry; text: string; effectiveAt?: string | undefined }

type Props = { workspace: string; zone: string; made: Made; onClose: () => void }

/** Recorded follows an entry from Kafka into the figures. */
export function Recorded({ workspace, zone, made, onClose }: Props) {
  const watermark = useLive(workspace).freshness?.watermark
  const counted = isCounted(made.entry.accepted_at, watermark)
  useEffect(() => {
    // The stream brings the balance with every change; this is for when there is none.
    if (counted) void queryClient.invalidateQueries({ queryKey: balanceKey(workspace) })
  }, [counted, workspace])
  return (
    <p className={`notice ${counted ? 'notice-good' : ''}`} role="status">
      <Icon name={counted ? 'good' : 'clock'} />
      <span>
        {made.text} {counted ? 'Recorded, and counted in the balance.' : 'Recorded. It will show within seconds.'}
        {made.effectiveAt ? ` It takes effect on ${instant(made.effectiveAt, zone)}.` : ''}{' '}
        {counted ? <Link href={paths.history(workspace)}>See it in the history</Link> : null}
      </span>
      <button type="button" className="button button-icon button-small" aria-label="Close" onClick={onClose}>
        <Icon name="close" />
      </button>
    </p>
  )
}

/** isCounted: every answer whose watermark is not before accepted_at has the entry. */
export function isCounted(acceptedAt: string, watermark: string | null | undefined): boolean {
  return watermark ? Date.parse(watermark) >= Date.parse(acceptedAt) : false
}
