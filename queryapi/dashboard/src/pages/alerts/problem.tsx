import { ApiError } from '../../api/client'
import { what } from '../../parts/states'

/** problemOf says in a sentence or two what became of a write. */
export function problemOf(error: unknown): { title: string; detail: string; conflict: boolean } {
  const { title, detail } = what(error)
  const of = (title: string, detail: string, conflict = false) => ({ title, detail, conflict })
  if (!(error instanceof ApiError)) return of(title, detail)
  switch (error.code) {
    case 'alert_rule_conflict':
      return of('Somebody changed it meanwhile', 'Reload to see what it is now. What you have edited is kept.', true)
    case 'alert_rule_not_found':
      return of('The rule is gone', 'Somebody deleted it meanwhile.', true)
    case 'alert_incident_not_found':
      return of('The incident is gone', 'It is older than what is kept.')
    case 'webhooks_unavailable':
      return of(
        'This server cannot sign messages',
        'It has no master secret, so rules with webhooks cannot be written. Whoever runs it can give it one; rules without webhooks work.',
      )
    case 'too_many_alert_rules':
      return of('The workspace has as many rules as it may have', 'Delete one that nobody needs any more.')
    case 'no_webhooks':
      return of('The rule has no webhooks', 'Add one, then send a test message.')
    case 'rate_limited':
      return of('Too many at once', error.retryAfter > 0 ? `Try again in ${error.retryAfter} seconds.` : 'Try again in a minute.')
    case 'invalid_parameter':
      return of('Something is not right yet', 'What it is stands beside the fields.')
    case 'forbidden':
      return of('You do not have permission to change this', detail)
    default:
      return of(title, detail)
  }
}

type Props = { error: unknown; onReload?: (() => void) | undefined }

/** Problem says what went wrong with a write; nothing without an error. */
export function Problem({ error, onReload }: Props) {
  if (!error) return null
  const { title, detail, conflict } = problemOf(error)
  const id = error instanceof ApiError && error.status >= 500 ? error.requestId : ''
  return (
    <div className="notice notice-bad alert-notice" role="alert">
      <span>
        {title}. {detail}
        {id ? (
          <>
            {' '}
            Request <code>{id}</code>
          </>
        ) : null}
      </span>
      {conflict && onReload ? (
        <button type="button" className="button" onClick={onReload}>
          Reload
        </button>
      ) : null}
    </div>
  )
}
