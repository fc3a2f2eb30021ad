type Props = {
  /** What is switched, for who does not see where it stands. */
  label: string
  on: boolean
  busy?: boolean
  onChange: (on: boolean) => void
}

/** Switch turns something on or off at once; the word beside it says which. */
export function Switch({ label, on, busy = false, onChange }: Props) {
  return (
    <button
      type="button"
      role="switch"
      className="switcher"
      aria-checked={on}
      aria-label={label}
      aria-disabled={busy}
      onClick={() => !busy && onChange(!on)}
    >
      <span className="switcher-track" />
      <span aria-hidden="true">{on ? 'On' : 'Off'}</span>
    </button>
  )
}
