import type { ReactNode } from 'react'
import { instant, instantSeconds, percent } from '../../format'
import { Copy } from '../../parts/copy'
import { Link } from '../../parts/link'
import { usePlace, withQuery } from '../../router'
import { RuleActions } from './actions'
import { Detail } from './list'
import type { RuleProps } from './show'
import { noFilters } from './view'
import { kindNames, minutesWords, type Params } from './words'

/** RuleDetails is all there is to know about a rule. */
export function RuleDetails(props: RuleProps) {
  const { rule, zone, write } = props
  const place = usePlace()
  const params: Params = rule.params
  const incidents = withQuery(place, { ...noFilters, part: 'incidents', rule: null, by: rule.rule_id })
  const { status } = rule
  return (
    <>
      <dl className="alert-details">
        <Detail name="Watches">{kindNames[rule.kind]}</Detail>
        {rule.kind === 'freshness' ? null : (
          <>
            <Detail name="Must hold for">{params.for ? minutesWords(params.for) : 'No time'}</Detail>
            <Detail name="Over when past the threshold by">{percent(params.hysteresis ?? 0, 2)}</Detail>
          </>
        )}
        <Detail name="Last fired">{status?.last_fired_at ? instant(status.last_fired_at, zone) : 'Never'}</Detail>
        <Detail name="Evaluated">{status?.evaluated_at ? instantSeconds(status.evaluated_at, zone) : 'Not now'}</Detail>
        <Detail name="Changed">
          {rule.updated_at === null ? (
            'Never: it is built in'
          ) : (
            <>
              {instant(rule.updated_at, zone)} by <bdi>{rule.updated_by}</bdi>
            </>
          )}
        </Detail>
        {rule.secret_rotated_at ? <Detail name="Secret rotated">{instant(rule.secret_rotated_at, zone)}</Detail> : null}
        <Detail name="Rule id" wide>
          <code className="alert-id">{rule.rule_id}</code> <Copy text={rule.rule_id} what="rule id" />
        </Detail>
        <Detail name="Incidents">
          <Link href={incidents}>Incidents of this rule</Link>
        </Detail>
      </dl>
      <Webhooks rule={rule}>
        {write
          ? 'The secret that signs messages is shown when it is made and when it is rotated.'
          : 'Of each address you see the host alone, because addresses can be secrets.'}
      </Webhooks>
      <RuleActions {...props} />
    </>
  )
}

const formatNames = { standard: 'Standard Webhooks', slack: 'Slack' }

function Webhooks({ rule, children }: Pick<RuleProps, 'rule'> & { children: ReactNode }) {
  if (rule.webhooks.length === 0)
    return <p className="soft">No webhooks: alerts of this rule are seen on this page and in the topic.</p>
  return (
    <div>
      <h4 className="label">Webhooks</h4>
      <ul className="alert-hooks">
        {rule.webhooks.map((hook) => (
          <li key={`${hook.format} ${hook.url}`}>
            <bdi className="alert-id">{hook.url}</bdi> <span className="soft small">{formatNames[hook.format]}</span>
          </li>
        ))}
      </ul>
      {children ? <p className="soft small">{children}</p> : null}
    </div>
  )
}
