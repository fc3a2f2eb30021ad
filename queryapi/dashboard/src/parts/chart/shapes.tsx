import type { Tone } from './model'

/** shapes tell series apart for who does not tell their colours. */
const shapes: Record<Tone, string> = {
  1: 'M1 1h10v10H1z',
  2: 'M6 .8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 1 0 6 .8',
  3: 'M6 .5L11.6 11H.4z',
  4: 'M6 .2L11.8 6L6 11.8L.2 6z',
  5: 'M4 1h4v3h3v4H8v3H4V8H1V4h3z',
  6: 'M.4 1h11.2L6 11.5z',
  7: 'M3.4 .8h5.2L11.4 6L8.6 11.2H3.4L.6 6z',
  other: 'M1 4h10v4H1z',
  none: 'M1 1h10v10H1zM3.5 3.5v5h5v-5z',
}

/** Shape stands for a series in the legend and beside the cursor. */
export function Shape({ tone }: { tone: Tone }) {
  return (
    <svg className={`chart-shape tone-fill-${tone}`} viewBox="0 0 12 12" aria-hidden="true" focusable="false">
      <path d={shapes[tone]} fillRule="evenodd" />
    </svg>
  )
}
