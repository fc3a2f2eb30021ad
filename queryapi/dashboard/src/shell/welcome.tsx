import { usePlace } from '../router'

/** Welcome is for who is not signed in, or not any more. */
export function Welcome({ ended }: { ended: boolean }) {
  const { path, query } = usePlace()
  const search = query.toString()
  const back = search ? `${path}?${search}` : path
  return (
    <main className="welcome">
      <div className="panel">
        <h1>{ended ? 'You are signed out' : 'Sign in to Drawdown'}</h1>
        <p className="soft">
          {ended
            ? 'Your session has ended. Sign in again to go on where you were.'
            : 'See what is left, where it goes and when it ends.'}
        </p>
        <a className="button button-main" href={`/auth/sign-in?return_to=${encodeURIComponent(back)}`}>
          Sign in
        </a>
      </div>
    </main>
  )
}
