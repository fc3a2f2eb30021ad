import { useSyncExternalStore } from 'react'
import { Icon, type IconName } from '../parts/icon'

/** Theme is what was chosen; `auto` follows the device. */
export type Theme = 'auto' | 'light' | 'dark'

const stored = 'drawdown.theme'
const listeners = new Set<() => void>()

function read(): Theme {
  try {
    const value = localStorage.getItem(stored)
    return value === 'light' || value === 'dark' ? value : 'auto'
  } catch {
    return 'auto' // storage may be forbidden
  }
}

let theme = read()

function show() {
  if (theme === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

function choose(next: Theme) {
  theme = next
  try {
    localStorage.setItem(stored, next)
  } catch {
    // It holds until the page is closed.
  }
  show()
  for (const listener of listeners) listener()
}

show()

const next: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' }
const looks: Record<Theme, { icon: IconName; text: string }> = {
  auto: { icon: 'auto', text: 'Theme: as the device' },
  light: { icon: 'sun', text: 'Theme: light' },
  dark: { icon: 'moon', text: 'Theme: dark' },
}

/** ThemeButton goes through the themes. */
export function ThemeButton() {
  const current = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    () => theme,
  )
  const { icon, text } = looks[current]
  return (
    <button
      type="button"
      className="button button-icon"
      aria-label={`${text}. Change`}
      title={text}
      onClick={() => choose(next[current])}
    >
      <Icon name={icon} />
    </button>
  )
}
