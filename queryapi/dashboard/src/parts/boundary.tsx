import { Component, type ReactNode } from 'react'
import { queryClient } from '../api/queries'
import { ErrorState } from './states'

/** soon is when what broke is tried again by itself, in milliseconds: an answer that makes sense may have come by then. */
const soon = 30_000

type Props = { children: ReactNode }
type State = { error: unknown; broken: boolean }

/**
 * Boundary keeps what cannot be drawn to itself: without it React takes all of the page away. What broke asks anew
 * for what it had, since it is an answer that nobody has thought of, or a mistake of the page.
 */
export class Boundary extends Component<Props, State> {
  override state: State = { error: null, broken: false }
  private timer = 0

  static getDerivedStateFromError(error: unknown): State {
    return { error, broken: true }
  }

  override componentDidCatch() {
    window.clearTimeout(this.timer)
    this.timer = window.setTimeout(this.again, soon)
  }

  override componentWillUnmount() {
    window.clearTimeout(this.timer)
  }

  private again = () => {
    window.clearTimeout(this.timer)
    // Those whose figures are still shown keep them until others have come.
    queryClient.removeQueries({ type: 'inactive', predicate: ({ queryKey }) => queryKey[0] !== 'me' })
    void queryClient.invalidateQueries()
    this.setState({ error: null, broken: false })
  }

  override render() {
    return this.state.broken ? <ErrorState error={this.state.error} onRetry={this.again} /> : this.props.children
  }
}
