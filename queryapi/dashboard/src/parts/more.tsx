import { useEffect, useRef } from 'react'
import { what } from './states'

type Pages = {
  hasNextPage: boolean
  isFetchingNextPage: boolean
  isFetchNextPageError: boolean
  error: unknown
  fetchNextPage: () => unknown
}

/** ahead is how far below the window the next page is asked for. */
const ahead = '600px'

/** More is the end of an endless list: the next page comes when it is nearly in sight, or by the button. */
export function More({ pages, label = 'Show more' }: { pages: Pages; label?: string }) {
  const { hasNextPage, isFetchingNextPage, isFetchNextPageError, fetchNextPage } = pages
  const end = useRef<HTMLDivElement>(null)
  const next = useRef(fetchNextPage)
  next.current = fetchNextPage
  // What failed waits for the button: it would fail again and again while the end is in sight.
  const waiting = hasNextPage && !isFetchingNextPage && !isFetchNextPageError
  useEffect(() => {
    if (!waiting || !end.current) return
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && next.current(), { rootMargin: ahead })
    observer.observe(end.current)
    return () => observer.disconnect()
  }, [waiting])
  if (!hasNextPage) return null
  return (
    <div className="list-more" ref={end}>
      {isFetchNextPageError ? (
        <p className="soft small" role="status">
          {what(pages.error).title}. The rest of the list is missing.
        </p>
      ) : null}
      <button type="button" className="button" onClick={() => void fetchNextPage()} disabled={isFetchingNextPage}>
        {isFetchingNextPage ? 'Loading' : isFetchNextPageError ? 'Retry' : label}
      </button>
    </div>
  )
}
