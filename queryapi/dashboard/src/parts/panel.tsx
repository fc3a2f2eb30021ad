import { type ReactNode, useId } from 'react'
import { Boundary } from './boundary'

type Props = {
  title: string
  /** Beside the title, at the right. */
  actions?: ReactNode
  /** Under the title: what the figures are about. */
  note?: ReactNode
  children: ReactNode
  className?: string
  busy?: boolean
}

/** Panel is a part of a screen with a heading of its own. */
export function Panel({ title, actions, note, children, className = '', busy = false }: Props) {
  const id = useId()
  return (
    <section className={`panel ${className}`} aria-labelledby={id} aria-busy={busy || undefined}>
      <header className="panel-head">
        <div className="panel-title">
          <h2 id={id}>{title}</h2>
          {note ? <p className="soft small">{note}</p> : null}
        </div>
        {actions ? <div className="panel-actions">{actions}</div> : null}
      </header>
      <Boundary>{children}</Boundary>
    </section>
  )
}
