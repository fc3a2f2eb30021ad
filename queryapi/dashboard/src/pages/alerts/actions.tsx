import { type RefObject, useRef, useState } from 'react'
import { alertsMoved, type Rule, useDeleteRule, useDryRun, useRotateSecret } from '../../api/alerts'
import { Dialog } from '../../parts/dialog'
import { usePlace } from '../../router'
import { Ask } from './ask'
import { DryRunResult } from './dryrun'
import { Problem } from './problem'
import { RuleForm } from './ruleform'
import { Secret } from './secret'
import { type RuleProps, show } from './show'
import { SilenceDialog } from './silence'
import { TestMessage } from './testmessage'

type Asked = 'edit' | 'silence' | 'rotate' | 'delete' | null

/** RuleActions is what can be done with a rule: who may not write has the dry run alone. */
export function RuleActions(props: RuleProps) {
  const { rule, workspace, zone, write, nameOf, onSaid, after } = props
  const [asked, setAsked] = useState<Asked>(null)
  const dry = useDryRun(workspace)
  const close = () => setAsked(null)
  const reload = () => {
    close()
    void alertsMoved(workspace)
  }
  const hooks = rule.webhooks.length > 0
  return (
    <>
      <div className="alert-actions">
        {write ? (
          <button type="button" className="button" onClick={() => setAsked('edit')}>
            Edit
          </button>
        ) : null}
        {rule.kind === 'freshness' ? null : (
          <button
            type="button"
            className="button"
            aria-disabled={dry.isPending}
            onClick={() => !dry.isPending && dry.mutate({ id: rule.rule_id })}
          >
            {dry.isPending ? 'Trying' : 'Dry run'}
          </button>
        )}
        {write && hooks ? <TestMessage workspace={workspace} rule={rule} /> : null}
        {write ? (
          <button type="button" className="button" onClick={() => setAsked('silence')}>
            Silence
          </button>
        ) : null}
        {write && hooks ? (
          <button type="button" className="button" onClick={() => setAsked('rotate')}>
            Rotate secret
          </button>
        ) : null}
        {write ? (
          <button type="button" className="button button-bad" onClick={() => setAsked('delete')}>
            Delete
          </button>
        ) : null}
      </div>
      <Problem error={dry.error} />
      <DryRunResult dry={dry} zone={zone} kind={rule.kind} nameOf={nameOf} />
      {asked === 'edit' ? <RuleForm workspace={workspace} zone={zone} rule={rule} onClose={close} onSaved={onSaid} /> : null}
      {asked === 'silence' ? (
        <SilenceDialog workspace={workspace} zone={zone} rule={rule} onClose={close} onReload={reload} onSaid={onSaid} />
      ) : null}
      {asked === 'rotate' ? <Rotate workspace={workspace} rule={rule} onClose={close} onReload={reload} /> : null}
      {asked === 'delete' ? (
        <Delete workspace={workspace} rule={rule} onClose={close} onReload={reload} onSaid={onSaid} after={after} />
      ) : null}
    </>
  )
}

type AskProps = { workspace: string; rule: Rule; onClose: () => void; onReload: () => void }

function Rotate({ workspace, rule, onClose, onReload }: AskProps) {
  const rotate = useRotateSecret(workspace)
  const secret = rotate.data?.secret
  return (
    <Dialog
      title={secret ? 'Copy the secret now' : 'Rotate the secret?'}
      onClose={onClose}
      busy={rotate.isPending || Boolean(secret)}
    >
      {secret ? (
        <Secret secret={secret} onClose={onClose} />
      ) : (
        <Ask
          action="Rotate secret"
          acting="Rotating"
          write={rotate}
          onConfirm={() => rotate.mutate(rule.rule_id)}
          onClose={onClose}
          onReload={onReload}
        >
          <p>
            A new secret signs the messages of <bdi>{rule.name}</bdi> from now on. The one before signs as well for 24 hours, so
            that receivers can be changed without losing any. One that was rotated out earlier stops working at once.
          </p>
        </Ask>
      )}
    </Dialog>
  )
}

type DeleteProps = AskProps & { onSaid: (said: string) => void; after: RefObject<HTMLElement | null> }

function Delete({ workspace, rule, onClose, onReload, onSaid, after }: DeleteProps) {
  const remove = useDeleteRule(workspace)
  const place = usePlace()
  const gone = useRef<HTMLElement | null>(null)
  const done = () => {
    gone.current = after.current
    show(place, { rule: null, part: 'rules' })
    onSaid('The rule is deleted')
    onClose()
  }
  return (
    <Dialog title="Delete the rule?" onClose={onClose} busy={remove.isPending} after={gone}>
      <Ask
        action="Delete rule"
        acting="Deleting"
        bad
        write={remove}
        onConfirm={() => remove.mutate(rule, { onSuccess: done })}
        onClose={onClose}
        onReload={onReload}
      >
        <p>
          <bdi>{rule.name}</bdi> is no longer evaluated. What fires now is resolved, and those who were told that it fires are
          told so.
          {rule.default ? ' It is a default rule; it does not come back by itself.' : ''}
        </p>
      </Ask>
    </Dialog>
  )
}
