import type { ReactNode } from 'react'
import { ApiError } from '../api/client'
import { Icon } from './icon'

/** Skeleton holds the place of what is loading, in its final size. */
export function Skeleton({ width = '100%', height = '1em' }: { width?: string; height?: string }) {
  return <span className="skeleton" style={{ inlineSize: width, blockSize: height }} aria-hidden="true" />
}

/** SkeletonRows stands for a table. */
export function SkeletonRows({ rows, label }: { rows: number; label: string }) {
  return (
    <div className="skeleton-rows" role="status">
      <span className="hidden-visually">{label}</span>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
        <Skeleton key={i} height="2.75rem" />
      ))}
    </div>
  )
}

/** Empty says that there is nothing, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state">
      <p className="state-title">{title}</p>
      {children ? <div className="soft">{children}</div> : null}
    </div>
  )
}

/** what says in a sentence what went wrong, and what to do. */
export function what(error: unknown): { title: string; detail: string; requestId: string; retry: boolean } {
  if (!(error instanceof ApiError)) {
    return {
      title: 'Something went wrong on this page',
      detail: error instanceof Error ? error.message : String(error),
      requestId: '',
      retry: true,
    }
  }
  const of = (title: string, retry = true) => ({ title, detail: error.message, requestId: error.requestId, retry })
  switch (error.code) {
    case 'unreachable':
      return of('The server cannot be reached')
    case 'unreadable':
    case 'empty':
      return of('The answer cannot be read')
    case 'timeout':
    case 'query_timeout':
      return of('The server took too long')
    case 'store_unavailable':
      return of('The figures cannot be read right now')
    case 'rate_limited':
      return of('Too many requests')
    case 'forbidden':
      return of('You do not have permission to see this', false)
    case 'workspace_not_found':
    case 'campaign_not_found':
      return of('There is no such thing here', false)
    case 'unauthorized':
      return of('You are signed out', false)
    case 'resolution_unavailable':
    case 'too_many_points':
    case 'invalid_parameter':
      return of('This cannot be shown as asked', false)
    default:
      return of(error.status >= 500 ? 'The server failed' : 'The server refused', error.status >= 500)
  }
}

/** ErrorState says what failed and offers to try again; it does so by itself as well. */
export function ErrorState({
  error,
  onRetry,
  busy = false,
  hint,
}: {
  error: unknown
  onRetry?: (() => void) | undefined
  busy?: boolean
  /** What to do about it, where the screen knows better. */
  hint?: string | null | undefined
}) {
  const { title, detail, requestId, retry } = what(error)
  return (
    <div className="state state-error" role="alert">
      <Icon name="bad" />
      <p className="state-title">{title}</p>
      <p className="soft">{detail}</p>
      {hint ? <p className="soft">{hint}</p> : null}
      {requestId ? (
        <p className="soft small">
          Request <code>{requestId}</code>
        </p>
      ) : null}
      {retry && onRetry ? (
        <button type="button" className="button" onClick={onRetry} disabled={busy}>
          {busy ? 'Trying again' : 'Retry'}
        </button>
      ) : null}
    </div>
  )
}

type Query<T> = {
  data: T | undefined
  error: unknown
  isPending: boolean
  isFetching: boolean
  isError: boolean
  refetch: () => unknown
}

/**
 * Loaded shows what a query brought, its skeleton before, its error instead. What is at hand stays, with a
 * notice, while asking again fails: figures that are a little old are better than none.
 */
export function Loaded<T>({
  query,
  skeleton,
  explain,
  children,
}: {
  query: Query<T>
  skeleton: ReactNode
  /** What to do about an error, where the screen knows better. */
  explain?: (error: unknown) => string | null
  children: (data: T) => ReactNode
}) {
  const retry = () => void query.refetch()
  if (query.data !== undefined && !forbids(query.error)) {
    return (
      <>
        {query.isError ? (
          <p className="notice notice-warn" role="status">
            <Icon name="warn" />
            <span>{what(query.error).title}. The figures below are from before.</span>
            <button type="button" className="button button-quiet" onClick={retry} disabled={query.isFetching}>
              Retry
            </button>
          </p>
        ) : null}
        {children(query.data)}
      </>
    )
  }
  if (query.isError) {
    return <ErrorState error={query.error} onRetry={retry} busy={query.isFetching} hint={explain?.(query.error)} />
  }
  return skeleton
}

/** forbids says that what is at hand is nobody's to see any more. */
const forbids = (error: unknown) =>
  error instanceof ApiError && (error.status === 403 || error.status === 404 || error.status === 401)
