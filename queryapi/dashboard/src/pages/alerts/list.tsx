import { type ReactNode, useEffect, useId, useRef } from 'react'
import { Icon } from '../../parts/icon'
import { Skeleton } from '../../parts/states'

type Props = {
  open: boolean
  onToggle: () => void
  /** What the row is called, in the button that opens it. */
  title: ReactNode
  /** Before the title: a state. */
  lead?: ReactNode
  /** At the right end of the first line. */
  end?: ReactNode
  /** What is said without opening it. */
  facts: ReactNode
  /** What is said when it is open. */
  children: ReactNode
  /** Whether the address names it: unless it was pressed, it is scrolled to and focused. */
  named: boolean
}

/** ListRow is a row of a list that opens. */
export function ListRow({ open, onToggle, title, lead, end, facts, children, named }: Props) {
  const id = useId()
  const row = useRef<HTMLLIElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const pressed = useRef(false)
  useEffect(() => {
    if (!named) pressed.current = false
    if (!named || pressed.current) return
    // After the shell has moved focus to a new screen.
    const frame = requestAnimationFrame(() => {
      row.current?.scrollIntoView({ block: 'start' })
      button.current?.focus({ preventScroll: true })
    })
    return () => cancelAnimationFrame(frame)
  }, [named])
  return (
    <li className={`alert-row ${open ? 'alert-row-open' : ''}`} ref={row}>
      <div className="alert-row-head">
        {lead}
        <h3 className="alert-row-title">
          <button
            type="button"
            ref={button}
            className="alert-row-button"
            aria-expanded={open}
            aria-controls={open ? id : undefined}
            onClick={() => {
              pressed.current = true
              onToggle()
            }}
          >
            <Icon name={open ? 'down' : 'right'} />
            <span className="alert-row-text">{title}</span>
          </button>
        </h3>
        {end ? <div className="alert-row-end">{end}</div> : null}
      </div>
      <div className="alert-row-facts soft small">{facts}</div>
      {open ? (
        <div className="alert-row-body" id={id}>
          {children}
        </div>
      ) : null}
    </li>
  )
}

/** ListSkeleton stands for so many rows. */
export function ListSkeleton({ label, rows = 6, lines = 1 }: { label: string; rows?: number; lines?: number }) {
  return (
    <div role="status" className="alert-list">
      <span className="hidden-visually">{label}</span>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
        <div key={i} className="alert-row">
          <div className="alert-row-head">
            <Skeleton width="4rem" height="1rem" />
            <span className="alert-row-title alert-row-wait">
              <Skeleton width="60%" height="1.1rem" />
            </span>
          </div>
          <div className="alert-row-facts">
            {Array.from({ length: lines }, (_, j) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
              <span key={j} className="alert-row-wait alert-sentence">
                <Skeleton width={j === 0 ? '75%' : '40%'} height="1rem" />
              </span>
            ))}
          </div>
        </div>
      ))}
    </div>
  )
}

/** Detail is a name and what it is, in a list of them; wide is for what does not wrap well. */
export function Detail({ name, wide = false, children }: { name: string; wide?: boolean; children: ReactNode }) {
  return (
    <div className={`alert-detail ${wide ? 'alert-detail-wide' : ''}`}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
