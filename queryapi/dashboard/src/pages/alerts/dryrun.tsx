import { useState } from 'react'
import type { DryRun, useDryRun } from '../../api/alerts'
import { dayShort, instant } from '../../format'
import { stripOf } from './strip'
import { dryRunSentence, type Kind, minutesWords } from './words'

type Props = { dry: ReturnType<typeof useDryRun>; zone: string; kind: Kind; nameOf: (campaign: string) => string }

/** DryRunResult says when a rule would have fired; nothing before anybody asked. */
export function DryRunResult({ dry, zone, kind, nameOf }: Props) {
  return (
    <div role="status" className={dry.isPending || dry.data ? 'alert-dry' : undefined}>
      {dry.isPending ? (
        <>
          <p className="soft">Looking through the last 30 days. With many campaigns this takes a few seconds.</p>
          <progress className="alert-progress" aria-label="Dry run under way" />
        </>
      ) : dry.data ? (
        <Result test={dry.data} zone={zone} kind={kind} nameOf={nameOf} />
      ) : null}
    </div>
  )
}

/** shownFirst is how many are listed before somebody asks for all. */
const shownFirst = 10

function Result({ test, zone, kind, nameOf }: Omit<Props, 'dry'> & { test: DryRun }) {
  const [all, setAll] = useState(false)
  if (kind === 'freshness') {
    return <p>This rule watches the counting itself, about which the past says nothing. A dry run does not apply.</p>
  }
  // The newest is what one remembers.
  const items = test.items.toReversed()
  const shown = all ? items : items.slice(0, shownFirst)
  return (
    <>
      <p className="state-title">{dryRunSentence(test)}</p>
      <Strip test={test} zone={zone} />
      {shown.length > 0 ? (
        <ol className="alert-dry-list">
          {shown.map((item) => (
            <li key={`${item.subject} ${item.fired_at}`}>
              <span className="figure soft">
                <time dateTime={item.fired_at}>{instant(item.fired_at, zone)}</time>
                {item.resolved_at === null ? ', not over' : ` to ${instant(item.resolved_at, zone)}`}
              </span>
              <bdi>{item.message}</bdi>
              {item.subject ? <span className="hidden-visually">Campaign {nameOf(item.subject)}</span> : null}
            </li>
          ))}
        </ol>
      ) : null}
      {items.length > shown.length ? (
        <button type="button" className="button" onClick={() => setAll(true)}>
          Show all {items.length}
        </button>
      ) : null}
      <p className="soft small">
        {test.fired > test.items.length ? `The last ${test.items.length} are listed. ` : ''}
        Looked at every {minutesWords(test.step_seconds / 60)}; times are right to within {minutesWords(test.resolution / 60)}.
        Nothing was sent.
      </p>
    </>
  )
}

/** Strip draws when it would have been firing; the list beside it says the same in words. */
function Strip({ test, zone }: { test: DryRun; zone: string }) {
  return (
    <div className="alert-strip" aria-hidden="true">
      <div className="alert-strip-line">
        {stripOf(test).map(({ from, to }) => (
          <span key={from} style={{ insetInlineStart: `${from}%`, inlineSize: `${to - from}%` }} />
        ))}
      </div>
      <div className="alert-strip-ends soft small">
        <span>{dayShort(test.from, zone)}</span>
        <span>{dayShort(test.to, zone)}</span>
      </div>
    </div>
  )
}
