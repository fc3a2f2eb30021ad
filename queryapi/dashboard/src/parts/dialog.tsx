import { type ReactNode, type RefObject, useEffect, useId, useRef, useState } from 'react'

type Props = {
  title: string
  onClose: () => void
  children: ReactNode
  /** While something is under way: Escape does not close it. */
  busy?: boolean
  /** Where focus goes, once it is set: what opened the dialog will be gone. */
  after?: RefObject<HTMLElement | null>
  /** For a form with much in it. */
  wide?: boolean
}

/**
 * Dialog is modal: the browser keeps focus in it and makes the rest inert. The first control that it holds is
 * focused, so what asks puts the harmless answer first. Focus returns to what opened it.
 */
export function Dialog({ title, onClose, children, busy = false, after, wide = false }: Props) {
  const id = useId()
  const dialog = useRef<HTMLDialogElement>(null)
  const [opener] = useState(() => document.activeElement)
  const fallback = useRef(after)
  fallback.current = after
  useEffect(() => {
    const shown = dialog.current
    if (shown && !shown.open) shown.showModal()
    return () => {
      // The dialog has left the page by now, or this is a rehearsal (StrictMode) and the rest is inert.
      const back = fallback.current?.current ?? (opener instanceof HTMLElement && opener.isConnected ? opener : null)
      ;(back ?? document.getElementById('main'))?.focus({ preventScroll: true })
    }
  }, [opener])
  return (
    <dialog
      ref={dialog}
      className={wide ? 'dialog dialog-wide' : 'dialog'}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault()
        if (!busy) onClose()
      }}
      onClose={onClose}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}

/** DialogFoot holds the answers: what leaves things as they are comes first in the order of focus. */
export function DialogFoot({ children }: { children: ReactNode }) {
  return <div className="dialog-foot">{children}</div>
}
