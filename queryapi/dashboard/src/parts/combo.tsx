import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react'
import { Icon } from './icon'
import './combo.css'

/** Option is one to choose; `hint` stands beside it, `also` is found by the search as well. */
export type Option = { key: string; text: string; hint?: string; also?: string }

type Props = {
  label: string
  options: Option[]
  value: string
  /** What an emptied field means. */
  none: string
  onChange: (key: string) => void
  /** Where there are more options than are at hand: what was typed, so that others can be brought. */
  onSearch?: (typed: string) => void
  /** The label is said, not seen, where the place says enough. */
  quiet?: boolean
}

/** found are the options with what was typed in them, in any case. */
export function found(options: Option[], typed: string): Option[] {
  const wanted = typed.trim().toLocaleLowerCase()
  if (wanted === '') return options
  return options.filter(({ text, also = '' }) => `${text}\n${also}`.toLocaleLowerCase().includes(wanted))
}

/** moved is where a key leads in a list of so many; null: it is not for the list. */
export function moved(key: string, active: number, count: number): number | null {
  const last = count - 1
  switch (key) {
    case 'ArrowDown':
      return active >= last ? 0 : active + 1
    case 'ArrowUp':
      return active <= 0 ? last : active - 1
    case 'PageDown':
      return Math.min(active + 8, last)
    case 'PageUp':
      return Math.max(active - 8, 0)
    default:
      return null
  }
}

/**
 * Combo chooses one of many by typing a part of it (the combobox of the ARIA Authoring Practices, with a list that
 * focus stays out of). It is our own because the library's hides the rest of the page while it is open.
 */
export function Combo({ label, options, value, none, onChange, onSearch, quiet = false }: Props) {
  const id = useId()
  const [open, setOpen] = useState(false)
  const [typed, setTyped] = useState<string | null>(null)
  const [active, setActive] = useState(0)
  const list = useRef<HTMLDivElement>(null)
  const field = useRef<HTMLInputElement>(null)
  const chosen = options.find((option) => option.key === value)
  const shown = open ? found(options, typed ?? '') : []
  const show = () => {
    onSearch?.('')
    setOpen(true)
    setActive(Math.max(options.indexOf(chosen ?? (options[0] as Option)), 0))
  }
  const close = () => {
    setOpen(false)
    setTyped(null)
  }
  const choose = (key: string) => {
    close()
    if (key !== value) onChange(key)
  }
  useEffect(() => {
    if (open) list.current?.children[active]?.scrollIntoView({ block: 'nearest' })
  }, [open, active])
  const keyed = (event: KeyboardEvent) => {
    const next = moved(event.key, active, shown.length)
    if (next !== null) {
      event.preventDefault()
      if (open) setActive(next)
      else show()
    } else if (event.key === 'Enter' && open) {
      event.preventDefault()
      const option = shown[active]
      if (option) choose(option.key)
    } else if (event.key === 'Escape' && open) {
      event.preventDefault()
      close()
    }
  }
  const leave = () => {
    if (typed === '') choose(none)
    else close()
  }
  const active_ = shown[active]
  return (
    <div className="combo field">
      <label htmlFor={id} className={quiet ? 'hidden-visually' : undefined}>
        {label}
      </label>
      <div className="combo-field">
        <input
          ref={field}
          id={id}
          className="input"
          dir="auto"
          role="combobox"
          autoComplete="off"
          spellCheck={false}
          aria-autocomplete="list"
          aria-expanded={open}
          aria-controls={open ? `${id}-list` : undefined}
          aria-activedescendant={active_ ? `${id}-${active_.key}` : undefined}
          value={typed ?? chosen?.text ?? ''}
          onFocus={(event) => event.target.select()}
          onClick={() => (open ? undefined : show())}
          onBlur={leave}
          onKeyDown={keyed}
          onChange={(event) => {
            setTyped(event.target.value)
            onSearch?.(event.target.value)
            setOpen(true)
            setActive(0)
          }}
        />
        <span className="combo-sign">
          <Icon name="down" />
        </span>
        {open ? (
          <div ref={list} id={`${id}-list`} className="combo-list" role="listbox" tabIndex={-1} aria-label={label}>
            {shown.map((option, index) => (
              <div
                key={option.key}
                id={`${id}-${option.key}`}
                role="option"
                tabIndex={-1}
                className="combo-option"
                aria-selected={option.key === value}
                data-active={index === active || undefined}
                // Focus stays in the field, which would close the list as it leaves.
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => choose(option.key)}
                onKeyDown={keyed}
              >
                <bdi className="combo-text">{option.text}</bdi>
                {option.hint ? <span className="combo-hint figure soft">{option.hint}</span> : null}
              </div>
            ))}
          </div>
        ) : null}
        {open && shown.length === 0 ? <p className="combo-list combo-none soft">Nothing found</p> : null}
      </div>
      <p className="hidden-visually" role="status">
        {open && typed ? `${shown.length} found` : ''}
      </p>
    </div>
  )
}
