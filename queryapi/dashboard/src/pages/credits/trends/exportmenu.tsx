import { useState } from 'react'
import { ApiError, type Schemas } from '../../../api/client'
import { refused, save } from '../../../parts/file'
import { Icon } from '../../../parts/icon'
import { Menu } from '../../../parts/menu'
import { what } from '../../../parts/states'
import { exportUrl, type File, files } from './exporturl'

type Props = { workspace: string; usage: Schemas['Usage']; zone: string; campaign: string | null }

/** ExportMenu saves what is shown as a file, or the events behind it. */
export function ExportMenu({ workspace, usage, zone, campaign }: Props) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const begin = async (file: File) => {
    setBusy(true)
    setError(null)
    const url = exportUrl(workspace, file, usage, zone, campaign)
    try {
      await refused(url)
      save(url)
    } catch (reason) {
      setError(reason)
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <Menu
        busy={busy}
        label={
          <>
            <Icon name="export" />
            {busy ? 'Asking' : 'Export'}
          </>
        }
        items={files.map((file) => (campaign !== null && file.key !== 'events-csv' ? { ...file, hint: 'all campaigns' } : file))}
        onChoose={(key) => void begin(key as File)}
      />
      {error ? (
        <p className="notice notice-bad trends-export-error" role="alert">
          <Icon name="bad" />
          <span>{explain(error)}</span>
        </p>
      ) : null}
    </>
  )
}

/** explain says why there is no file, and what to do. */
function explain(error: unknown): string {
  const { title, detail } = what(error)
  if (!(error instanceof ApiError)) return `${title}. ${detail}`
  if (error.code === 'export_unavailable') {
    return `Files cannot be made here: this server has no connection for it. The table has the same figures. (${detail})`
  }
  if (error.code === 'range_too_large')
    return `This is too much for one file. Choose a shorter range or longer buckets. (${detail})`
  return `${title}. ${detail}`
}
