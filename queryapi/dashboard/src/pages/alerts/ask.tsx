import type { ReactNode } from 'react'
import { DialogFoot } from '../../parts/dialog'
import { Problem } from './problem'

type Props = {
  /** What will happen. */
  children: ReactNode
  action: string
  acting: string
  bad?: boolean
  write: { isPending: boolean; error: unknown }
  onConfirm: () => void
  onClose: () => void
  onReload: () => void
}

/** Ask is a question in a dialog; that somebody wrote meanwhile is said, with the way out. */
export function Ask({ children, action, acting, bad = false, write, onConfirm, onClose, onReload }: Props) {
  return (
    <>
      <div className="dialog-body">{children}</div>
      <Problem error={write.error} onReload={onReload} />
      <DialogFoot>
        <button type="button" className="button" onClick={onClose} disabled={write.isPending}>
          Cancel
        </button>
        <button
          type="button"
          className={`button ${bad ? 'button-bad' : 'button-main'}`}
          onClick={onConfirm}
          disabled={write.isPending}
        >
          {write.isPending ? acting : action}
        </button>
      </DialogFoot>
    </>
  )
}
