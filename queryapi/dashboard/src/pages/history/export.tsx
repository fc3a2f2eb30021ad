import { type FormEvent, useState } from 'react'
import { day } from '../../format'
import { Dialog, DialogFoot } from '../../parts/dialog'
import { refused, save } from '../../parts/file'
import type { Instants } from '../../parts/range/presets'
import { what } from '../../parts/states'
import { type Dataset, type ExportFormat, exportUrl, formats } from './exporturl'
import type { View } from './view'
import { typeWords } from './words'

type Props = {
  workspace: string
  zone: string
  view: View
  range: Instants
  nameOf: (campaign: string) => string
  onClose: () => void
}

/** ExportDialog makes a file of what is shown. */
export function ExportDialog({ workspace, zone, view, range, nameOf, onClose }: Props) {
  const [dataset, setDataset] = useState<Dataset>('history')
  const [format, setFormat] = useState<ExportFormat>('csv')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    const url = exportUrl(workspace, dataset, format, view, range, zone)
    try {
      await refused(url)
      save(url)
      onClose()
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog title="Export" onClose={onClose} busy={busy}>
      <form onSubmit={(event) => void submit(event)}>
        <p className="soft">{scopeOf(view, range, zone, dataset, nameOf)}</p>
        <fieldset className="choices">
          <legend className="label">What</legend>
          <Choice
            name="dataset"
            checked={dataset === 'history'}
            onChoose={() => setDataset('history')}
            text="History"
            note={
              view.view === 'grouped'
                ? 'The entries as shown: consumption by day and campaign, with the balance after each.'
                : 'The entries as shown, event by event, with the balance after each.'
            }
          />
          <Choice
            name="dataset"
            checked={dataset === 'events'}
            onChoose={() => setDataset('events')}
            text="Consumption events"
            note="One row for each event, with its attributes and when it arrived. Grants and other changes are not in it."
          />
        </fieldset>
        <fieldset className="choices choices-row">
          <legend className="label">Format</legend>
          {formats.map(({ key, text, note }) => (
            <Choice key={key} name="format" checked={format === key} onChoose={() => setFormat(key)} text={text} note={note} />
          ))}
        </fieldset>
        {error ? (
          <p className="notice notice-bad" role="alert">
            {what(error).title}. {what(error).detail}
          </p>
        ) : null}
        <DialogFoot>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-main" disabled={busy}>
            {busy ? 'Asking' : 'Download'}
          </button>
        </DialogFoot>
      </form>
    </Dialog>
  )
}

function Choice(props: { name: string; checked: boolean; onChoose: () => void; text: string; note: string }) {
  return (
    <label className="choice">
      <input type="radio" name={props.name} checked={props.checked} onChange={props.onChoose} />
      <span>
        {props.text}
        <span className="soft small">{props.note}</span>
      </span>
    </label>
  )
}

/** scopeOf says what will be in the file. */
function scopeOf(view: View, range: Instants, zone: string, dataset: Dataset, nameOf: Props['nameOf']): string {
  const parts: string[] = []
  if (dataset === 'history' && view.types.length > 0) parts.push(view.types.map((type) => typeWords[type]).join(', '))
  if (view.campaign !== null) parts.push(view.campaign === '' ? 'Unattributed' : nameOf(view.campaign))
  const { from, to } = range
  if (from === undefined && to === undefined) {
    parts.push(dataset === 'history' ? 'All time' : 'The current period, because no range is chosen')
  } else {
    const first = from ? `From ${day(from, zone)}` : ''
    const last = to ? `through ${day(Date.parse(to) - 1, zone)}` : ''
    parts.push(`${first} ${last}`.trim())
  }
  return `${parts.join(' \u00b7 ')}.`
}
