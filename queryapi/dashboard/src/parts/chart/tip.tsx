import { Amount, fractionWidth } from '../amount'
import { Shape } from './shapes'
import type { Told } from './telling'

/** leastWidth is how wide a chart must be for the tip to stand in it, in pixels; else it stands above, where no finger is. */
const leastWidth = 560

/** Tip stands beside the cursor, on the side that has room. Assistive technology is told by the slider. */
export function Tip({ told, left, right, width }: { told: Told; left: number; right: number; width: number }) {
  const narrow = width < leastWidth
  const side = narrow
    ? { left: 0, right: 0 }
    : (left + right) / 2 > width / 2
      ? { right: Math.max(width - left + 8, 0) }
      : { left: right + 8 }
  const exact = told.rows.filter((row) => row.tone !== 'ahead')
  const fraction = fractionWidth(exact.map((row) => row.value))
  return (
    <div className={narrow ? 'chart-tip chart-tip-above' : 'chart-tip'} style={side} aria-hidden="true">
      <p className="chart-tip-title">{told.title}</p>
      {told.notes.map((note) => (
        <p key={note} className="small soft">
          {note}
        </p>
      ))}
      <dl>
        {told.rows.map(({ tone, name, value }) => (
          <div key={`${tone} ${name}`} className={`chart-tip-row chart-tip-${tone}`}>
            <dt>
              {typeof tone === 'number' || tone === 'other' || tone === 'none' ? (
                <Shape tone={tone} />
              ) : (
                <span className={`chart-key chart-key-${tone}`} />
              )}
              <bdi>{name}</bdi>
            </dt>
            <dd className="figure">{tone === 'ahead' ? value : <Amount value={value} fraction={fraction} />}</dd>
          </div>
        ))}
      </dl>
      {told.more > 0 ? <p className="small soft">and {told.more} more</p> : null}
    </div>
  )
}
