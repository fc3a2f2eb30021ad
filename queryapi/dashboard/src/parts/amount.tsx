import { amountParts, isNegative } from '../format'

type Props = {
  /** An exact decimal string of the API. */
  value: string
  /** Unit after the figure, for who does not see the column. */
  unit?: string
  /** How many characters the part after the decimal mark is given, so that marks line up in a column. */
  fraction?: number
  signed?: boolean
}

/** Amount shows credits exactly: every digit is there, what is after the mark is quieter. */
export function Amount({ value, unit, fraction, signed = false }: Props) {
  const parts = amountParts(value)
  const plus = signed && !isNegative(value) && Number(value) !== 0 ? '+' : ''
  return (
    <data className="amount figure" value={value}>
      {plus}
      {parts.whole}
      <span className="amount-fraction" style={fraction === undefined ? undefined : { minInlineSize: `${fraction}ch` }}>
        {parts.fraction}
      </span>
      {unit ? <span className="amount-unit"> {unit}</span> : null}
    </data>
  )
}

/** fractionWidth is the width a column of amounts needs after the mark, in characters. */
export function fractionWidth(values: Iterable<string | null | undefined>): number {
  let width = 0
  for (const value of values) {
    const at = value?.indexOf('.') ?? -1
    if (value && at >= 0) width = Math.max(width, value.length - at)
  }
  return width
}
