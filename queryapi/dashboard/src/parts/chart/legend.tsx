import { amount } from '../../format'
import type { Data, View } from './model'
import { Shape } from './shapes'

type Props = { data: Data; view: View; hidden: ReadonlySet<string>; onToggle: (key: string) => void; expected: string }

/** Legend names what is drawn; a series is hidden and shown by its button. */
export function Legend({ data, view, hidden, onToggle, expected }: Props) {
  const whole = data.series.every((one) => !hidden.has(one.key))
  return (
    <ul className="chart-legend small">
      {data.series.map(({ key, name, tone, total }) => (
        <li key={key}>
          <button
            type="button"
            className="chart-toggle"
            aria-pressed={!hidden.has(key)}
            title={name}
            onClick={() => onToggle(key)}
          >
            <Shape tone={tone} />
            <bdi className="chart-name">{name}</bdi>
            <span className="soft figure">{amount(total)}</span>
          </button>
        </li>
      ))}
      {whole && data.previous ? <Key look="previous">Period before</Key> : null}
      {whole && data.ahead.length > 0 ? <Key look="ahead">{expected}</Key> : null}
      {view === 'bars' && data.buckets.some((bucket) => !bucket.complete) ? <Key look="partial">Still being counted</Key> : null}
      {whole ? null : <li className="chart-legend-key soft">Forecast and comparison are of all, so they are hidden too.</li>}
    </ul>
  )
}

function Key({ look, children }: { look: string; children: string }) {
  return (
    <li className="chart-legend-key soft">
      <span className={`chart-key chart-key-${look}`} aria-hidden="true" />
      {children}
    </li>
  )
}
