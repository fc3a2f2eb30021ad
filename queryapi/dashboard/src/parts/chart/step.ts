/** page is how many buckets the page keys go. */
const page = 10

/** step is where a key leads to from an index (-1: nowhere yet, then the newest usage); null: it is no key of the chart. */
export function step(key: string, from: number, count: number, newest: number): number | null {
  if (count === 0) return null
  const to = (index: number) => Math.min(Math.max(index, 0), count - 1)
  switch (key) {
    case 'ArrowRight':
    case 'ArrowUp':
      return from < 0 ? to(newest) : to(from + 1)
    case 'ArrowLeft':
    case 'ArrowDown':
      return from < 0 ? to(newest) : to(from - 1)
    case 'PageUp':
      return from < 0 ? to(newest) : to(from + page)
    case 'PageDown':
      return from < 0 ? to(newest) : to(from - page)
    case 'Home':
      return 0
    case 'End':
      return count - 1
    default:
      return null
  }
}
