import type { ReactNode, RefObject } from 'react'
import { Dialog, DialogFoot } from './dialog'
import { what } from './states'

type Props = {
  title: string
  /** What will happen, and whether it can be undone. */
  children: ReactNode
  /** The verb of the button: `Revoke key`. */
  action: string
  /** The verb while it is under way: `Revoking`. */
  acting: string
  busy: boolean
  error: unknown
  onConfirm: () => void
  onClose: () => void
  after?: RefObject<HTMLElement | null>
}

/** Confirm asks before something that cannot be undone. */
export function Confirm({ title, children, action, acting, busy, error, onConfirm, onClose, after }: Props) {
  return (
    <Dialog title={title} onClose={onClose} busy={busy} {...(after ? { after } : {})}>
      <div className="dialog-body">{children}</div>
      {error ? (
        <p className="notice notice-bad" role="alert">
          {what(error).title}. {what(error).detail}
        </p>
      ) : null}
      <DialogFoot>
        <button type="button" className="button" onClick={onClose} disabled={busy}>
          Cancel
        </button>
        <button type="button" className="button button-bad" onClick={onConfirm} disabled={busy}>
          {busy ? acting : action}
        </button>
      </DialogFoot>
    </Dialog>
  )
}
