import { useEffect, useRef, useState } from 'react'
import type { Schemas } from '../../../api/client'
import { isZero } from '../../../credits'
import { amount } from '../../../format'
import { Amount } from '../../../parts/amount'
import { Icon } from '../../../parts/icon'
import { deltaOf, outcomeOf, refundsOf } from './words'

/** sayEvery is how often a total that moves is said, in milliseconds: it would drown everything else. */
const sayEvery = 30_000

type Props = { usage: Schemas['Usage']; remaining: string | null; zone: string }

/** Head has the figures of the range: what was used, against before, and what it comes to. */
export function Head({ usage, remaining, zone }: Props) {
  const refunds = refundsOf(usage)
  const delta = deltaOf(usage)
  const outcome = outcomeOf(usage, remaining, zone)
  return (
    <div className="trends-head">
      <p className="trends-total">
        <Amount value={usage.total} /> <span className="trends-unit">credits used</span>
      </p>
      <ul className="trends-facts small">
        {delta ? (
          <li>
            <Icon name={delta.way === 'fewer' ? 'down' : delta.way === 'more' ? 'up' : 'right'} />
            <span className="figure">{delta.text}</span>
          </li>
        ) : null}
        {isZero(refunds) ? null : <li className="figure">{amount(refunds)} refunded, taken off</li>}
        {outcome ? <li className="figure">{outcome.text}</li> : null}
      </ul>
      {outcome?.warning ? (
        <p className="notice notice-warn trends-warning">
          <Icon name="warn" />
          <span>{outcome.warning}</span>
        </p>
      ) : null}
      <Said text={`${amount(usage.total)} credits used in the range`} />
    </div>
  )
}

/** Said tells who hears the page the newest total, now and then. */
function Said({ text }: { text: string }) {
  const [said, setSaid] = useState('')
  const newest = useRef(text)
  newest.current = text
  useEffect(() => {
    const timer = window.setInterval(() => setSaid(newest.current), sayEvery)
    return () => window.clearInterval(timer)
  }, [])
  return (
    <p className="hidden-visually" aria-live="polite">
      {said}
    </p>
  )
}
