import { type ReactNode, useId } from 'react'
import { ApiError } from '../api/client'

/** Wiring is what a control needs to belong to its label, its hint and its error. */
export type Wiring = { id: string; 'aria-describedby'?: string; 'aria-invalid'?: true }

type Props = {
  label: string
  /** Under the control: what may be entered, what it means. */
  hint?: ReactNode
  /** What is wrong with it; empty: nothing. */
  error?: string | undefined
  children: (wiring: Wiring) => ReactNode
}

/** Field is a control with its label, its hint and what is wrong with it. */
export function Field({ label, hint, error, children }: Props) {
  const id = useId()
  const described = [hint ? `${id}-hint` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ')
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, ...(described ? { 'aria-describedby': described } : {}), ...(error ? { 'aria-invalid': true } : {}) })}
      {hint ? (
        <p className="soft small" id={`${id}-hint`}>
          {hint}
        </p>
      ) : null}
      {error ? (
        <p className="field-error" id={`${id}-error`}>
          {error}
        </p>
      ) : null}
    </div>
  )
}

/** fieldErrors are what the API has against single fields of a body, by their names. */
export function fieldErrors(error: unknown): Record<string, string> {
  const found: Record<string, string> = {}
  if (!(error instanceof ApiError)) return found
  for (const { location, message } of error.fields) {
    const name = location.replace(/^body\.?/, '').split(/[.[]/)[0] ?? ''
    if (name && location.startsWith('body')) found[name] = sentence(message)
  }
  return found
}

/** sentence begins with a capital and ends with a full stop. */
export function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.?]$/.test(whole) ? whole : `${whole}.`
}

/** focusWrong goes to the first field of a form with something wrong in it, once that is drawn. */
export function focusWrong(form: HTMLFormElement | null) {
  requestAnimationFrame(() => {
    form?.querySelector<HTMLElement>('[aria-invalid="true"], fieldset:has(.field-error) input')?.focus()
  })
}
