// Amounts are exact decimal strings. Where the page has to reckon with them, it
// does so in whole micro-credits; floats are for shares and where a bar ends.

/** micro is an amount in micro-credits. */
export function micro(decimal: string): bigint {
  const negative = decimal.startsWith('-')
  const [whole = '0', fraction = ''] = decimal.replace(/^[-+]/, '').split('.', 2)
  const value = BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, '0').slice(0, 6))
  return negative ? -value : value
}

/** decimal writes micro-credits as the API does: no more digits than it takes. */
export function decimal(micros: bigint): string {
  const size = micros < 0n ? -micros : micros
  const fraction = (size % 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '')
  return `${micros < 0n ? '-' : ''}${size / 1_000_000n}${fraction ? `.${fraction}` : ''}`
}

/** sum adds amounts up exactly. */
export function sum(amounts: Iterable<string>): string {
  let total = 0n
  for (const amount of amounts) total += micro(amount)
  return decimal(total)
}

/** less is a without b, exactly. */
export const less = (a: string, b: string) => decimal(micro(a) - micro(b))

/** isZero tells of a decimal string. */
export const isZero = (amount: string) => micro(amount) === 0n

/** share is a part of a whole in percent; null where there is no whole to be a part of. */
export function share(part: string, whole: string): number | null {
  const of = micro(whole)
  return of > 0n ? (Number(part) / Number(whole)) * 100 : null
}
