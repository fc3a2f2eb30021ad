import { useState } from 'react'
import { type Rule, useDeliverTest, useTestOutcome } from '../../api/alerts'
import type { Schemas } from '../../api/client'
import { Dialog, DialogFoot } from '../../parts/dialog'
import { Outcome } from './attempts'
import { Problem } from './problem'
import { latestByDestination, tested } from './words'

/** TestMessage sends one to each webhook of a rule and shows what came of it. */
export function TestMessage({ workspace, rule }: { workspace: string; rule: Rule }) {
  const [open, setOpen] = useState(false)
  const deliver = useDeliverTest(workspace)
  const send = () => deliver.mutate(rule.rule_id)
  return (
    <>
      <button
        type="button"
        className="button"
        onClick={() => {
          setOpen(true)
          send()
        }}
      >
        Send test message
      </button>
      {open ? (
        <Dialog title="Test message" onClose={() => setOpen(false)}>
          <div className="dialog-body">
            <p className="soft">
              A message that says it is a test goes once to each webhook of <bdi>{rule.name}</bdi>, also while it is silent or
              disabled.
            </p>
            <Problem error={deliver.error} />
            {deliver.data ? <Outcomes key={deliver.data.webhook_id} workspace={workspace} sent={deliver.data} /> : null}
            {deliver.isPending ? <p role="status">Sending</p> : null}
          </div>
          <DialogFoot>
            <button
              type="button"
              className="button"
              aria-disabled={deliver.isPending}
              onClick={() => !deliver.isPending && send()}
            >
              Send again
            </button>
            <button type="button" className="button button-main" onClick={() => setOpen(false)}>
              Close
            </button>
          </DialogFoot>
        </Dialog>
      ) : null}
    </>
  )
}

function Outcomes({ workspace, sent }: { workspace: string; sent: Schemas['AlertTestDelivery'] }) {
  const outcome = useTestOutcome(workspace, sent.webhook_id, (items) => tested(items, sent.webhooks))
  const items = latestByDestination(outcome.data ?? [])
  const done = tested(outcome.data ?? [], sent.webhooks)
  const delivered = items.filter((item) => item.outcome === 'delivered').length
  return (
    <>
      <p role="status">
        {done
          ? `${delivered} of ${sent.webhooks} took it.`
          : `Sent to ${sent.webhooks === 1 ? '1 webhook' : `${sent.webhooks} webhooks`}, waiting for what comes of it.`}
      </p>
      {outcome.isError ? <Problem error={outcome.error} /> : null}
      <ul className="alert-outcomes">
        {items.map((item) => (
          <li key={item.destination}>
            <bdi className="alert-id">{item.destination}</bdi>
            <span>
              <Outcome item={item} />
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}
