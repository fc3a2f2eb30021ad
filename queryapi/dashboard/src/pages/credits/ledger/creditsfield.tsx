import { amount } from '../../../format'
import { Field } from '../../../parts/field'
import { typedCredits } from './entry'

type Props = {
  value: string
  /** What the amount does, with the amount as it was understood: `10,000 credits will be added`. */
  preview: (credits: string) => string
  error: string | undefined
  onChange: (text: string) => void
}

/** CreditsField takes an amount and says how it was understood: a zero too many is seen before it is sent. */
export function CreditsField({ value, preview, error, onChange }: Props) {
  const typed = typedCredits(value)
  return (
    <Field label="Credits" error={error} hint={typed.credits === undefined ? 'Such as 10000 or 0.5.' : preview(typed.credits)}>
      {(wiring) => (
        <input
          {...wiring}
          className="input figure"
          inputMode="decimal"
          autoComplete="off"
          maxLength={40}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  )
}

/** creditsWord writes an amount with its unit. */
export const creditsWord = (credits: string) => `${amount(credits)} ${credits === '1' ? 'credit' : 'credits'}`
