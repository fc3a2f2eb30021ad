import { useMemo } from 'react'
import { useBalance } from '../../api/queries'
import { usePlace } from '../../router'
import { useNow } from '../../shell/freshness'
import { type Chosen, chosenRange } from './address'

/** moves is how often a range that ends about now is looked at anew, in milliseconds. */
const moves = 30_000

/** useChosenRange follows the range of the address; it stays the same object while its edges do. */
export function useChosenRange(workspace: string, zone: string): Chosen {
  const { query } = usePlace()
  const now = useNow(moves)
  const balance = useBalance(workspace).data
  const text = JSON.stringify(chosenRange(query, zone, now, balance))
  return useMemo(() => JSON.parse(text) as Chosen, [text])
}
