import { useEffect, useState } from 'react'
import { Icon } from './icon'

/** shownFor is how long a button says that it copied, in milliseconds. */
const shownFor = 2_000

/** write puts a text on the clipboard; pages that came over plain http have the old way alone. */
async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    // A modal dialog makes all else inert, so the text has to be inside of it.
    const place = document.activeElement?.closest('dialog') ?? document.body
    const focused = document.activeElement
    place.append(area)
    area.select()
    const done = document.execCommand('copy')
    area.remove()
    if (focused instanceof HTMLElement) focused.focus()
    return done
  }
}

/** Copy puts a text on the clipboard and says so; `what` names it: `event id`. */
export function Copy({ text, what, label = false }: { text: string; what: string; label?: boolean }) {
  const [said, setSaid] = useState('')
  useEffect(() => {
    if (said === '') return
    const timer = window.setTimeout(() => setSaid(''), shownFor)
    return () => window.clearTimeout(timer)
  }, [said])
  const copy = async () => setSaid((await write(text)) ? 'Copied' : 'Not copied')
  return (
    <>
      <button
        type="button"
        className={label ? 'button' : 'button button-icon button-small'}
        aria-label={label ? undefined : `Copy ${what}`}
        title={label ? undefined : `Copy ${what}`}
        onClick={() => void copy()}
      >
        <Icon name={said === 'Copied' ? 'good' : 'copy'} />
        {label ? said || `Copy ${what}` : null}
      </button>
      <span className="hidden-visually" role="status">
        {said}
      </span>
    </>
  )
}
