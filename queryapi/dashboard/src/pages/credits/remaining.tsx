import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { Schemas } from '../../api/client'
import { useBalance } from '../../api/queries'
import { amount, day, isNegative, rounded } from '../../format'
import { Amount, fractionWidth } from '../../parts/amount'
import { Badge } from '../../parts/badge'
import { Icon } from '../../parts/icon'
import { Link } from '../../parts/link'
import { Panel } from '../../parts/panel'
import { Loaded, Skeleton } from '../../parts/states'
import { paths } from '../../router'
import { endingOf } from './ending'
import { wasGranted } from './ledger/entry'
import { LedgerButtons, LedgerState, useLedger } from './ledger/ledger'

type Balance = Schemas['Balance']
type Grant = Schemas['BalanceGrant']

/** Remaining is the first panel: the balance, what it is of, and when it ends. */
export function Remaining({ workspace, zone, mayChange }: { workspace: string; zone: string; mayChange: boolean }) {
  const balance = useBalance(workspace)
  const ledger = useLedger(mayChange)
  return (
    <Panel
      title="Remaining Credits"
      busy={balance.isPending}
      actions={mayChange ? <LedgerButtons ledger={ledger} ready={balance.data !== undefined} /> : null}
    >
      <LedgerState workspace={workspace} zone={zone} ledger={ledger} balance={balance.data} />
      <Loaded query={balance} skeleton={<RemainingSkeleton />}>
        {(data) => (
          <>
            <Headline balance={data} zone={zone} />
            <Ending balance={data} zone={zone} />
            <Grants balance={data} zone={zone} onVoid={ledger.onVoid} />
          </>
        )}
      </Loaded>
      <div className="panel-foot">
        <Link href={paths.history(workspace)}>View Credit History</Link>
      </div>
    </Panel>
  )
}

function Headline({ balance, zone }: { balance: Balance; zone: string }) {
  const remaining = Number(balance.remaining)
  const allocated = Number(balance.allocated)
  const share = allocated > 0 ? (remaining / allocated) * 100 : 0
  return (
    <div className="remaining">
      <div className="remaining-figure">
        <p className={`remaining-big figure ${isNegative(balance.remaining) ? 'remaining-negative' : ''}`}>
          <Amount value={balance.remaining} />
        </p>
        <p className="soft">
          of <Amount value={balance.allocated} /> credits allocated
        </p>
        <Bar share={share} over={balance.overdraft !== '0'} />
        <p className="small soft">
          <Amount value={balance.used} /> used of the active grants
          {share > 100 ? '. More is left than is allocated, because of adjustments or refunds.' : ''}
        </p>
        <LiveTotal value={balance.remaining} />
      </div>
      <dl className="facts">
        <Fact name="Days remaining">
          {balance.days_remaining === null ? 'No expiry' : <span className="figure">{balance.days_remaining}</span>}
        </Fact>
        <Fact name="Expires on">{balance.expires_at === null ? 'Never' : day(balance.expires_at, zone)}</Fact>
        <Fact name="Burn rate, last 24 hours">
          <span className="figure">{rounded(balance.burn_rate['24h'], 1)}</span> <span className="soft">credits an hour</span>
        </Fact>
        <Fact name="Burn rate, last hour">
          <span className="figure">{rounded(balance.burn_rate['1h'], 1)}</span> <span className="soft">credits an hour</span>
        </Fact>
      </dl>
    </div>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Bar({ share, over }: { share: number; over: boolean }) {
  const shown = Math.min(Math.max(share, 0), 100)
  const tone = over || share <= 10 ? 'bad' : share <= 25 ? 'warn' : 'plain'
  return (
    <div
      className={`meter meter-tall meter-${tone}`}
      role="meter"
      aria-label="Remaining share of the allocation"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(shown * 10) / 10}
      aria-valuetext={`${Math.round(share * 10) / 10} %`}
    >
      <span className="meter-bar" style={{ inlineSize: `${shown}%` }} />
    </div>
  )
}

/** LiveTotal tells who hears the page what is left, at most every ten seconds. */
function LiveTotal({ value }: { value: string }) {
  const [said, setSaid] = useState('')
  const last = useRef(Number.NEGATIVE_INFINITY)
  useEffect(() => {
    const wait = Math.max(last.current + 10_000 - performance.now(), 0)
    const timer = window.setTimeout(() => {
      if (last.current > 0) setSaid(`${amount(value)} credits remaining`)
      last.current = performance.now()
    }, wait)
    return () => window.clearTimeout(timer)
  }, [value])
  return (
    <p className="hidden-visually" aria-live="polite">
      {said}
    </p>
  )
}

/** Ending sets when credits run out against when they expire. */
function Ending({ balance, zone }: { balance: Balance; zone: string }) {
  const verdict = endingOf(balance, zone)
  return (
    <p className={`notice ending notice-${verdict.tone}`}>
      <Icon name={verdict.tone === 'good' ? 'good' : verdict.tone === 'plain' ? 'clock' : verdict.tone} />
      <span>{verdict.text}</span>
    </p>
  )
}

type Void = ((grant: Grant) => void) | null

function Grants({ balance, zone, onVoid }: { balance: Balance; zone: string; onVoid: Void }) {
  const fraction = {
    remaining: fractionWidth(balance.grants.map((g) => g.remaining)),
    credits: fractionWidth(balance.grants.map((g) => g.credits)),
  }
  if (balance.grants.length === 0) return null
  const open = balance.grants.filter((g) => g.status === 'active' || g.status === 'scheduled')
  const past = balance.grants.filter((g) => !open.includes(g))
  return (
    <>
      {open.length > 0 ? (
        <GrantTable
          grants={open}
          zone={zone}
          fraction={fraction}
          onVoid={onVoid}
          caption="Grants, in the order in which they are used"
        />
      ) : null}
      {past.length > 0 ? (
        <details className="more">
          <summary>
            {past.length} earlier {past.length === 1 ? 'grant' : 'grants'}
          </summary>
          <GrantTable grants={past} zone={zone} fraction={fraction} onVoid={null} caption="Earlier grants" />
        </details>
      ) : null}
    </>
  )
}

function GrantTable({
  grants,
  zone,
  fraction,
  caption,
  onVoid,
}: {
  grants: Grant[]
  zone: string
  fraction: { remaining: number; credits: number }
  caption: string
  onVoid: Void
}) {
  return (
    <div className="table-wrap grant-wrap" tabIndex={0} role="region" aria-label={caption}>
      <table className="table grant-table">
        <caption className="hidden-visually">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">Grant</th>
            <th scope="col">Status</th>
            <th scope="col" className="num">
              Remaining
            </th>
            <th scope="col" className="num">
              Granted
            </th>
            <th scope="col">From</th>
            <th scope="col">Expires</th>
            {onVoid ? (
              <th scope="col">
                <span className="hidden-visually">Actions</span>
              </th>
            ) : null}
          </tr>
        </thead>
        <tbody>
          {grants.map((grant) => (
            <tr key={grant.grant_id}>
              <th scope="row">
                <span className="clip" title={grant.grant_id}>
                  {grant.grant_id}
                </span>
                <span className="soft small"> {grant.class}</span>
              </th>
              <td data-label="Status">
                <Badge status={grant.status} />
              </td>
              <td className="num" data-label="Remaining">
                <Amount value={grant.remaining} fraction={fraction.remaining} />
              </td>
              <td className="num" data-label="Granted">
                <Amount value={grant.credits} fraction={fraction.credits} />
              </td>
              <td className="nowrap" data-label="From">
                {day(grant.effective_at, zone)}
              </td>
              <td className="nowrap" data-label="Expires">
                {grant.expires_at === null ? 'Never' : day(grant.expires_at, zone)}
              </td>
              {onVoid ? (
                <td className="num">
                  {wasGranted(grant) ? (
                    <button
                      type="button"
                      className="button button-quiet grant-void"
                      aria-label={`Void ${grant.grant_id}`}
                      onClick={() => onVoid(grant)}
                    >
                      Void
                    </button>
                  ) : null}
                </td>
              ) : null}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** RemainingSkeleton has the height of a balance with two grants, as most have. */
function RemainingSkeleton() {
  return (
    <div role="status">
      <span className="hidden-visually">Loading the balance</span>
      <div className="remaining">
        <div className="remaining-figure">
          <Skeleton width="14rem" height="3.25rem" />
          <Skeleton width="11rem" height="1.25rem" />
          <Skeleton height="0.75rem" />
          <Skeleton width="9rem" height="1rem" />
        </div>
        <div className="facts">
          <Skeleton height="3rem" />
          <Skeleton height="3rem" />
          <Skeleton height="3rem" />
          <Skeleton height="3rem" />
        </div>
      </div>
      <div className="ending">
        <Skeleton height="2.5rem" />
      </div>
      <Skeleton height="7.25rem" />
    </div>
  )
}
