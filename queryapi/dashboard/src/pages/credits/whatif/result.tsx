import { useRules } from '../../../api/alerts'
import { useBalance, useProjection } from '../../../api/queries'
import { day, rounded } from '../../../format'
import { Curve, type Line } from '../../../parts/curve/curve'
import type { Point } from '../../../parts/curve/scale'
import { balanceLevels, joined } from '../../../parts/levels'
import { Loaded, Skeleton } from '../../../parts/states'
import { isNothing, queryOf, type WhatIf } from './view'
import { bandOf, differenceOf, endOf, type Outlook, unusedOf } from './words'

/** Result sets what would be beside what is. */
export function Result({ workspace, zone, asked }: { workspace: string; zone: string; asked: WhatIf }) {
  const now = useProjection(workspace, {})
  const changed = useProjection(workspace, queryOf(asked, zone))
  const rules = useRules(workspace).data ?? []
  const balance = useBalance(workspace).data
  const limits = balance ? joined(balanceLevels(rules, balance.allocated)) : []
  const both = changed.data && now.data ? { changed: changed.data, now: now.data } : undefined
  return (
    <div className={`whatif-result ${changed.isPlaceholderData ? 'whatif-old' : ''}`}>
      <Loaded query={{ ...changed, data: both }} skeleton={<ResultSkeleton />}>
        {(data) => (
          <>
            <p className="whatif-verdict" role="status">
              {isNothing(asked) ? 'Change something to see what becomes of it.' : differenceOf(data.changed, zone)}
            </p>
            <Ends changed={data.changed} zone={zone} />
            {data.changed.balance.length > 1 ? (
              <Curve
                label="Credits that will be left"
                zone={zone}
                lines={linesOf(data.now, data.changed, isNothing(asked))}
                limits={limits}
              />
            ) : (
              <p className="soft small">Too little is known yet for a curve.</p>
            )}
            <UnusedCredits now={data.now} changed={data.changed} zone={zone} />
          </>
        )}
      </Loaded>
    </div>
  )
}

const pointsOf = (outlook: Outlook): Point[] =>
  outlook.balance.map(({ at, p10, p50, p90 }) => ({
    at: Date.parse(at),
    value: Number(p50),
    low: Number(p10),
    high: Number(p90),
  }))

function linesOf(now: Outlook, changed: Outlook, same: boolean): Line[] {
  const base: Line = { name: 'As things are', points: pointsOf(now), look: same ? 'main' : 'base' }
  return same ? [base] : [{ name: 'What if', points: pointsOf(changed), look: 'main' }, base]
}

function Ends({ changed, zone }: { changed: Outlook; zone: string }) {
  return (
    <dl className="whatif-ends">
      {[
        { name: 'As things are, runs out', runway: changed.baseline },
        { name: 'What if, runs out', runway: changed.runway },
      ].map(({ name, runway }) => (
        <div key={name} className="whatif-end">
          <dt>{name}</dt>
          <dd>{endOf(runway, zone)}</dd>
          <dd className="soft small">{bandOf(runway, zone) ?? '\u00a0'}</dd>
        </div>
      ))}
    </dl>
  )
}

/** unusedRows is how many expiries are listed. */
const unusedRows = 6

function UnusedCredits({ now, changed, zone }: { now: Outlook; changed: Outlook; zone: string }) {
  const all = unusedOf(now.unused, changed.unused)
  if (all.length === 0) return null
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Credits unused when they expire">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Unused when they expire</th>
            <th scope="col" className="num">
              As things are
            </th>
            <th scope="col" className="num">
              What if
            </th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, unusedRows).map((row) => (
            <tr key={row.at}>
              <th scope="row" className="nowrap">
                {day(row.at, zone)}
              </th>
              <td className="num figure">{row.now === null ? '–' : rounded(row.now)}</td>
              <td className="num figure">{row.changed === null ? '–' : rounded(row.changed)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > unusedRows ? <p className="soft small whatif-more">And {all.length - unusedRows} later.</p> : null}
    </div>
  )
}

function ResultSkeleton() {
  return (
    <div role="status" className="whatif-loading">
      <span className="hidden-visually">Loading the projection</span>
      <Skeleton width="80%" height="1.5rem" />
      <Skeleton height="4rem" />
      <Skeleton height="15rem" />
    </div>
  )
}
