import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react'
import './menu.css'

/** Item is one thing that can be done. */
export type Item = { key: string; text: string; hint?: string }

type Props = { label: ReactNode; items: Item[]; busy?: boolean; onChoose: (key: string) => void }

/** Menu is a button with a list of things to do (the menu button of the ARIA Authoring Practices). */
export function Menu({ label, items, busy = false, onChoose }: Props) {
  const id = useId()
  const [open, setOpen] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const whole = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const entries = () => [...(list.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])]
  useEffect(() => {
    if (!open) return
    list.current?.querySelector<HTMLElement>('[role=menuitem]')?.focus()
    const elsewhere = (event: Event) => whole.current?.contains(event.target as Node) || setOpen(false)
    document.addEventListener('pointerdown', elsewhere)
    return () => document.removeEventListener('pointerdown', elsewhere)
  }, [open])
  const close = () => {
    setOpen(false)
    button.current?.focus()
  }
  const key = (event: KeyboardEvent) => {
    const all = entries()
    const to = { ArrowDown: at(all) + 1, ArrowUp: at(all) - 1, Home: 0, End: -1 }[event.key]
    if (to !== undefined) {
      event.preventDefault()
      all.at(to % all.length)?.focus()
    } else if (event.key === 'Escape') {
      event.stopPropagation()
      close()
    } else if (event.key === 'Tab') setOpen(false)
  }
  return (
    <div className="menu" ref={whole}>
      <button
        ref={button}
        type="button"
        className="button"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        disabled={busy}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown' || open) return
          event.preventDefault()
          setOpen(true)
        }}
      >
        {label}
      </button>
      {open ? (
        <div ref={list} id={id} className="menu-list" role="menu" tabIndex={-1} onKeyDown={key}>
          {items.map((item) => (
            <button
              key={item.key}
              type="button"
              role="menuitem"
              tabIndex={-1}
              className="menu-item"
              onClick={() => {
                close()
                onChoose(item.key)
              }}
            >
              {item.text}
              {item.hint ? <span className="soft small">{item.hint}</span> : null}
            </button>
          ))}
        </div>
      ) : null}
    </div>
  )
}

const at = (all: (Element | null)[]) => all.indexOf(document.activeElement)
