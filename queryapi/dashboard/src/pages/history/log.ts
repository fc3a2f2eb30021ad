import type { Schemas } from '../../api/client'

// An endless list that grows at both ends: older pages come by cursor, what is
// new comes with the newest page, which is asked for again and again.

type Item = Schemas['HistoryItem']
type Page = Schemas['History']

/** Joined is the list with the newest page laid upon it. */
export type Joined = {
  /**
   * `ok`: the newest page and the list meet. `gap`: more is new than one page holds, so the list has to begin anew.
   * `restated`: they meet in a row that has changed, so a late event, or a change of the ledger, has changed rows
   * below as well, and what is shown has to be asked for again.
   */
  seam: 'ok' | 'gap' | 'restated'
  page: Page
  /** How many rows the list did not have. */
  fresh: number
}

/** join lays the newest page upon the list. */
export function join(list: Page, newest: Page): Joined {
  const before = new Map(list.items.map((item, index) => [item.entry_id, index]))
  const fresh = newest.items.reduce((n, item) => (before.has(item.entry_id) ? n : n + 1), 0)
  const last = newest.items.at(-1)
  // All there is, or nothing to lay it upon.
  if (last === undefined || newest.next_cursor === null || list.items.length === 0) {
    return { seam: 'ok', page: kept(list, newest, newest.items, newest.next_cursor), fresh }
  }
  const meets = before.get(last.entry_id)
  if (meets === undefined) return { seam: 'gap', page: newest, fresh }
  const seam = list.items[meets]?.balance_after === last.balance_after ? 'ok' : 'restated'
  const older = list.items.slice(meets + 1)
  const cursor = older.length > 0 || list.next_cursor === null ? list.next_cursor : newest.next_cursor
  return { seam, page: kept(list, newest, [...newest.items, ...older], cursor), fresh }
}

/** kept takes rows that are as they were from the list, so that nothing of theirs is drawn again. */
function kept(list: Page, newest: Page, items: Item[], next_cursor: string | null): Page {
  const known = new Map(list.items.map((item) => [item.entry_id, item]))
  const rows = items.map((item) => {
    const old = known.get(item.entry_id)
    return old && same(old, item) ? old : item
  })
  return { ...newest, items: rows, next_cursor }
}

/** same compares what of an entry may change: all else of it is in its id. */
function same(a: Item, b: Item): boolean {
  return (
    a.balance_after === b.balance_after &&
    a.change === b.change &&
    a.credits === b.credits &&
    a.events === b.events &&
    a.refunds === b.refunds &&
    a.to === b.to &&
    a.unmoved === b.unmoved &&
    JSON.stringify(a.sources) === JSON.stringify(b.sources)
  )
}

/** one makes a single page of many: its rows, and the cursor of the last. */
export function one(pages: Page[]): Page | undefined {
  const last = pages.at(-1)
  if (!last || pages.length === 1) return last
  return { ...last, items: pages.flatMap((page) => page.items) }
}

/** Day is the rows of one local day, newest first. */
export type Day = { day: string; at: string; items: Item[] }

/** daysOf cuts rows into local days; dayOf names the day of an instant. */
export function daysOf(items: Item[], dayOf: (at: string) => string): Day[] {
  const days: Day[] = []
  for (const item of items) {
    const day = dayOf(item.at)
    const last = days.at(-1)
    if (last?.day === day) last.items.push(item)
    else days.push({ day, at: item.at, items: [item] })
  }
  return days
}
