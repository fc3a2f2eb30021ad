import { useMemo } from 'react'
import { useBalance } from '../../api/queries'
import { usePlace } from '../../router'
import { useNow } from '../../shell/freshness'
import { type Chosen, chosenRange } from './address'
import type { Instants, Looks } from './presets'

/** moves is how often a range that ends about now is looked at anew, in milliseconds. */
const moves = 30_000

/** Followed is the range of the address; whole has both ends, null: not known yet. */
export type Followed = Chosen & { whole: Required<Instants> | null }

/** useChosenRange follows the range of the address; it stays the same object while its edges do. */
export function useChosenRange(workspace: string, zone: string, weekStart: string, looks: Looks): Followed {
  const { query } = usePlace()
  const now = useNow(moves)
  // A log needs it for cycles alone.
  const balance = useBalance(workspace, looks === 'usage' || /cycle$/.test(query.get('preset') ?? '')).data
  const chosen = chosenRange(query, { zone, now, weekStart, looks, balance })
  const { from, to } = chosen.range?.from ? chosen.range : (balance?.period ?? {})
  const text = JSON.stringify({ ...chosen, whole: from && to ? { from, to } : null } satisfies Followed)
  return useMemo(() => JSON.parse(text) as Followed, [text])
}
