import { useId, useState } from 'react'
import { type Incident, useAcknowledge } from '../../api/alerts'
import { instant } from '../../format'
import { Dialog, DialogFoot } from '../../parts/dialog'
import { Problem } from './problem'
import type { Props } from './show'
import { headline } from './words'

/** noteLimit is how long a note may be, in characters; the API takes no longer one. */
const noteLimit = 1000

/** Acknowledged says who has taken an incident on, and lets one do so. */
export function Acknowledged({ incident, zone, workspace, write }: Props & { incident: Incident }) {
  const [asking, setAsking] = useState(false)
  const { acknowledged } = incident
  return (
    <div className="alert-acknowledged">
      {acknowledged ? (
        <p>
          By <bdi>{acknowledged.by}</bdi> on {instant(acknowledged.at, zone)}
          {acknowledged.note ? (
            <span className="alert-note">
              <bdi>{acknowledged.note}</bdi>
            </span>
          ) : null}
        </p>
      ) : (
        <p>Nobody yet</p>
      )}
      {write ? (
        <button type="button" className="button" onClick={() => setAsking(true)}>
          {acknowledged ? 'Acknowledge again' : 'Acknowledge'}
        </button>
      ) : null}
      {asking ? <AcknowledgeDialog workspace={workspace} incident={incident} onClose={() => setAsking(false)} /> : null}
    </div>
  )
}

type DialogProps = { workspace: string; incident: Incident; onClose: () => void }

function AcknowledgeDialog({ workspace, incident, onClose }: DialogProps) {
  const id = useId()
  const acknowledge = useAcknowledge(workspace)
  const [note, setNote] = useState(incident.acknowledged?.note ?? '')
  return (
    <Dialog title="Acknowledge" onClose={onClose} busy={acknowledge.isPending}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          acknowledge.mutate({ incident_id: incident.incident_id, note: note.trim() }, { onSuccess: onClose })
        }}
      >
        <p className="soft">
          <bdi>{headline(incident).title}</bdi>
        </p>
        <div className="field">
          <label htmlFor={id}>Note, if there is something to say</label>
          <textarea
            id={id}
            className="input"
            rows={3}
            maxLength={noteLimit}
            value={note}
            onChange={(event) => setNote(event.target.value)}
          />
        </div>
        <p className="soft small">Others see that you are looking into it. The alert goes on until what it is about is over.</p>
        <Problem error={acknowledge.error} />
        <DialogFoot>
          <button type="button" className="button" onClick={onClose} disabled={acknowledge.isPending}>
            Cancel
          </button>
          <button type="submit" className="button button-main" disabled={acknowledge.isPending}>
            {acknowledge.isPending ? 'Acknowledging' : 'Acknowledge'}
          </button>
        </DialogFoot>
      </form>
    </Dialog>
  )
}
