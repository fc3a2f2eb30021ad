import { type FormEvent, useRef, useState } from 'react'
import { type Rule, useCampaignNames, useDryRun, useReload, useSaveRule, type WrittenRule } from '../../api/alerts'
import { Dialog, DialogFoot } from '../../parts/dialog'
import { Field, focusWrong } from '../../parts/field'
import { checked, type Draft, draftOf, type Errors, errorsOf, newDraft, otherKind } from './draft'
import { DryRunResult } from './dryrun'
import { KindFields } from './fields'
import { Hooks } from './hooks'
import { merged, mergedWords } from './merge'
import { Problem } from './problem'
import { Secret } from './secret'
import { type Kind, kindNames, newKinds, ruleSentence } from './words'

type Props = {
  workspace: string
  zone: string
  /** The rule to change; null: a new one. */
  rule: Rule | null
  onClose: () => void
  onSaved: (said: string) => void
}

/** RuleForm makes a rule or changes one, and shows a secret that this made. */
export function RuleForm({ workspace, zone, rule, onClose, onSaved }: Props) {
  const save = useSaveRule(workspace)
  const [secret, setSecret] = useState<string | null>(null)
  const saved = (written: WrittenRule) => {
    onSaved(rule ? 'The rule is saved' : 'The rule is made')
    // Without webhooks nothing is signed, so there is nothing to keep.
    if (written.secret && written.webhooks.length > 0) setSecret(written.secret)
    else onClose()
  }
  const title = secret ? 'Copy the secret now' : rule ? 'Edit rule' : 'New rule'
  return (
    <Dialog title={title} onClose={onClose} busy={save.isPending || secret !== null} wide>
      {secret ? (
        <Secret secret={secret} onClose={onClose} />
      ) : (
        <Form workspace={workspace} zone={zone} rule={rule} save={save} onSaved={saved} onClose={onClose} />
      )}
    </Dialog>
  )
}

type FormProps = Omit<Props, 'onSaved'> & { save: ReturnType<typeof useSaveRule>; onSaved: (written: WrittenRule) => void }

function Form({ workspace, zone, rule: given, save, onSaved, onClose }: FormProps) {
  // What is edited is the rule as it was read, whatever becomes of it meanwhile: the API tells when that is another.
  const [rule, setRule] = useState(given)
  const [draft, setDraft] = useState<Draft>(() => (rule ? draftOf(rule) : newDraft('balance_below')))
  const [news, setNews] = useState('')
  const reload = useReload(workspace)
  const [tried, setTried] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  const dry = useDryRun(workspace)
  const names = useCampaignNames(workspace).data ?? []
  const { request, errors: seen } = checked(draft)
  // What the API has against a field holds until somebody types again.
  const errors: Errors = { ...errorsOf(dry.error), ...errorsOf(save.error), ...(tried ? seen : {}) }
  const change = (changes: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...changes }))
    if (save.error) save.reset()
    if (dry.error || dry.data) dry.reset()
  }
  const ready = () => {
    setTried(true)
    if (Object.keys(seen).length === 0) return true
    focusWrong(form.current)
    return false
  }
  const onError = () => focusWrong(form.current)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (ready()) save.mutate({ id: rule?.rule_id ?? null, version: rule?.version ?? 0, request }, { onSuccess: onSaved, onError })
  }
  const merge = async () => {
    const fresh = rule && (await reload(rule.rule_id))
    if (!fresh) return
    const both = merged(draftOf(rule), draft, draftOf(fresh))
    setRule(fresh)
    setDraft(both.draft)
    setNews(mergedWords(both))
    save.reset()
    dry.reset()
  }
  const nameOf = (id: string) => names.find((campaign) => campaign.id === id)?.name ?? id
  const other = rule && (draft.kind !== rule.kind || changed(rule, draft))
  return (
    <form onSubmit={submit} noValidate ref={form}>
      <div className="field-row">
        <KindField draft={draft} fixed={rule?.kind === 'freshness'} onChange={(kind) => change(otherKind(draft, kind))} />
        <Field label="Name" error={errors.name}>
          {(wiring) => (
            <input
              {...wiring}
              className="input"
              dir="auto"
              maxLength={256}
              autoComplete="off"
              value={draft.name}
              onChange={(event) => change({ name: event.target.value })}
            />
          )}
        </Field>
      </div>
      <KindFields draft={draft} errors={errors} campaigns={names} onChange={change} />
      {Object.keys(seen).some((at) => at.startsWith('params')) ? null : (
        <p className="alert-says">{ruleSentence(draft.kind, request.params ?? {}, nameOf)}.</p>
      )}
      <Hooks hooks={draft.hooks} errors={errors} onChange={(hooks) => change({ hooks })} />
      <label className="alert-check">
        <input type="checkbox" checked={draft.enabled} onChange={(event) => change({ enabled: event.target.checked })} />
        Enabled
      </label>
      {other ? <p className="notice">What is evaluated changes, so incidents of this rule that are open now end.</p> : null}
      <DryRunResult dry={dry} zone={zone} nameOf={nameOf} kind={draft.kind} />
      <Problem error={save.error ?? dry.error} onReload={() => void merge()} />
      <p role="status" className={news ? 'notice' : 'hidden-visually'}>
        {news}
      </p>
      <Unplaced errors={errors} draft={draft} />
      <DialogFoot>
        {draft.kind === 'freshness' ? null : (
          <button
            type="button"
            className="button alert-foot-first"
            aria-disabled={dry.isPending}
            onClick={() => !dry.isPending && ready() && dry.mutate({ request }, { onError })}
          >
            {dry.isPending ? 'Trying' : 'Dry run'}
          </button>
        )}
        <button type="button" className="button" onClick={onClose} disabled={save.isPending}>
          Cancel
        </button>
        <button type="submit" className="button button-main" disabled={save.isPending}>
          {save.isPending ? 'Saving' : rule ? 'Save' : 'Make rule'}
        </button>
      </DialogFoot>
    </form>
  )
}

/** changed says whether the parameters are others than they were. */
function changed(rule: Rule, draft: Draft): boolean {
  const of = (d: Draft) => JSON.stringify(checked({ ...d, name: 'x', hooks: [] }).request.params)
  return of(draftOf(rule)) !== of(draft)
}

function KindField({ draft, fixed, onChange }: { draft: Draft; fixed: boolean; onChange: (kind: Kind) => void }) {
  if (fixed) {
    return (
      <Field label="When" hint="There is one rule of this kind, and it has no figures to set.">
        {(wiring) => <input {...wiring} className="input" value={kindNames[draft.kind]} readOnly />}
      </Field>
    )
  }
  return (
    <Field label="When">
      {(wiring) => (
        <select {...wiring} className="select" value={draft.kind} onChange={(event) => onChange(event.target.value as Kind)}>
          {newKinds.map((kind) => (
            <option key={kind} value={kind}>
              {kindNames[kind]}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

/** Unplaced says what the API has against a field that this form does not show. */
function Unplaced({ errors, draft }: { errors: Errors; draft: Draft }) {
  const shown = new Set(['name', 'params.for', 'params.hysteresis', 'params.percent', 'params.credits', 'params.days'])
  for (const at of ['params.factor', 'params.window', 'params.campaign_id']) shown.add(at)
  const rest = Object.entries(errors).filter(
    ([at]) => !shown.has(at) && !/^params\.windows\[\d+\]\.(long|short|factor)$/.test(at) && !hookAt(at, draft),
  )
  if (rest.length === 0) return null
  return (
    <ul className="field-error" role="alert">
      {rest.map(([at, message]) => (
        <li key={at}>
          {at}: {message}
        </li>
      ))}
    </ul>
  )
}

const hookAt = (at: string, draft: Draft) =>
  draft.hooks.some((_, i) => at === `webhooks[${i}].url` || at === `webhooks[${i}].format`)
