import { alertsMoved, type Rule, useSaveRule } from '../../api/alerts'
import { ago, instant } from '../../format'
import { Switch } from '../../parts/switch'
import { usePlace } from '../../router'
import { useNow } from '../../shell/freshness'
import { ListRow } from './list'
import { Problem } from './problem'
import { RuleDetails } from './ruledetails'
import { type RuleProps, show } from './show'
import { ruleSentence } from './words'

/** RuleRow is one rule: what it says and how it fares. */
export function RuleRow(props: RuleProps) {
  const { rule, view, nameOf, zone } = props
  const place = usePlace()
  const now = useNow(30_000)
  const open = view.rule === rule.rule_id
  const last = rule.status?.last_fired_at ?? null
  const silenced = rule.silenced_until !== null && Date.parse(rule.silenced_until) > now ? rule.silenced_until : null
  return (
    <ListRow
      open={open}
      named={open}
      onToggle={() => show(place, { rule: open ? null : rule.rule_id, part: 'rules' })}
      lead={<RuleState rule={rule} />}
      title={<bdi>{rule.name}</bdi>}
      end={
        <>
          {rule.default ? <span className="alert-tag">Default</span> : null}
          {props.write ? <Enabled {...props} /> : rule.enabled ? null : <span className="soft small">Disabled</span>}
        </>
      }
      facts={
        <>
          <span className="alert-sentence">{ruleSentence(rule.kind, rule.params, nameOf)}</span>
          <span>{last === null ? 'Has not fired' : `Last fired ${ago(last, now)}`}</span>
          <span>{webhooksWords(rule.webhooks.length)}</span>
          {silenced ? <span className="alert-silenced">Silenced until {instant(silenced, zone)}</span> : null}
        </>
      }
    >
      <RuleDetails {...props} />
    </ListRow>
  )
}

/** Enabled turns a rule on or off; all else stays as it was read. */
function Enabled({ rule, workspace, onSaid }: RuleProps) {
  const save = useSaveRule(workspace)
  const { kind, name, params, webhooks } = rule
  const set = (enabled: boolean) =>
    save.mutate(
      // The API takes the parameters of any kind as it gave them.
      { id: rule.rule_id, version: rule.version, request: { kind, name, enabled, params, webhooks } },
      { onSuccess: () => onSaid(`${name} is ${enabled ? 'on' : 'off'}`) },
    )
  return (
    <>
      <Switch label={`Rule ${name}`} on={save.isPending ? !rule.enabled : rule.enabled} busy={save.isPending} onChange={set} />
      {save.error ? (
        <Problem
          error={save.error}
          onReload={() => {
            save.reset()
            void alertsMoved(workspace)
          }}
        />
      ) : null}
    </>
  )
}

const webhooksWords = (n: number) => (n === 0 ? 'No webhooks' : n === 1 ? '1 webhook' : `${n} webhooks`)

/** RuleState is how a rule fares, with how many incidents if there are several. */
function RuleState({ rule }: { rule: Rule }) {
  const status = rule.status
  const state = rule.enabled ? (status?.state ?? 'quiet') : 'disabled'
  const n = state === 'firing' ? status?.firing : state === 'pending' ? status?.pending : 0
  const look = {
    firing: ['bad', 'Firing'],
    pending: ['warn', 'Pending'],
    quiet: ['good', 'Quiet'],
    disabled: ['faint', 'Disabled'],
  }
  const [tone, text] = look[state] ?? ['plain', state]
  return (
    <span className={`badge badge-${tone} alert-state`}>
      {text}
      {n && n > 1 ? ` (${n})` : ''}
    </span>
  )
}
