import type { FormEvent, ReactNode, RefObject } from 'react'
import { Dialog, DialogFoot } from '../../../parts/dialog'
import { fieldErrors, focusWrong } from '../../../parts/field'
import { refusal } from './queries'

type Props = {
  title: string
  /** The verb of the button, and the verb while it is under way. */
  action: string
  acting: string
  busy: boolean
  error: unknown
  /** Fields with an error of their own; what is wrong with others is said below all. */
  fields: string[]
  /** Sends it, or returns false if something is wrong with it. */
  onSubmit: () => boolean
  onClose: () => void
  /** It cannot be undone. */
  final?: boolean
  /** Where focus goes, once it is set: what opened the dialog will be gone. */
  after?: RefObject<HTMLElement | null>
  children: ReactNode
}

/** ChangeForm is the frame of what writes an entry. */
export function ChangeForm({
  title,
  action,
  acting,
  busy,
  error,
  fields,
  onSubmit,
  onClose,
  final = false,
  after,
  children,
}: Props) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (!onSubmit()) focusWrong(event.currentTarget)
  }
  const known = Object.keys(fieldErrors(error))
  const general = error && (known.length === 0 || known.some((name) => !fields.includes(name)))
  return (
    <Dialog title={title} onClose={onClose} busy={busy} {...(after ? { after } : {})}>
      <form onSubmit={submit} noValidate>
        {children}
        {general ? (
          <p className="notice notice-bad" role="alert">
            {refusal(error)}
          </p>
        ) : null}
        <DialogFoot>
          <button type="button" className="button" onClick={onClose} disabled={busy}>
            Cancel
          </button>
          <button type="submit" className={`button ${final ? 'button-bad' : 'button-main'}`} disabled={busy}>
            {busy ? acting : action}
          </button>
        </DialogFoot>
      </form>
    </Dialog>
  )
}
