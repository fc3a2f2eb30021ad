import { useId } from 'react'

type Props<T extends string> = {
  /** What is chosen between, for who does not see it. */
  label: string
  value: T
  options: { value: T; text: string }[]
  onChange: (value: T) => void
}

/** Segments chooses one of a few: radio buttons, so arrow keys work. */
export function Segments<T extends string>({ label, value, options, onChange }: Props<T>) {
  const name = useId()
  return (
    <fieldset className="segments">
      <legend className="hidden-visually">{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            value={option.value}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.text}
        </label>
      ))}
    </fieldset>
  )
}
