import { useEffect, useRef } from 'react'
import { Field } from '../../parts/field'
import { Icon } from '../../parts/icon'
import { type Errors, type Hook, maxHooks, newKey } from './draft'
import { Receiving } from './receiving'

type Props = { hooks: Hook[]; errors: Errors; onChange: (hooks: Hook[]) => void }

/** Hooks are who is told beside the topic. */
export function Hooks({ hooks, errors, onChange }: Props) {
  const list = useRef<HTMLFieldSetElement>(null)
  const before = useRef(hooks.length)
  useEffect(() => {
    // Who adds one types its address next; who removes one does not lose the place.
    if (hooks.length > before.current)
      [...(list.current?.querySelectorAll<HTMLElement>('.alert-hook input') ?? [])].at(-1)?.focus()
    if (hooks.length < before.current) list.current?.querySelector<HTMLElement>('.alert-hook-add')?.focus()
    before.current = hooks.length
  }, [hooks.length])
  const set = (key: number, changes: Partial<Hook>) => onChange(hooks.map((h) => (h.key === key ? { ...h, ...changes } : h)))
  return (
    <fieldset className="alert-hooks-edit" ref={list}>
      <legend className="label">Webhooks, which are told when it fires and when it is resolved</legend>
      {hooks.map((hook, i) => (
        <div className="alert-hook" key={hook.key}>
          <Field label={`Address ${i + 1}`} error={errors[`webhooks[${i}].url`]}>
            {(wiring) => (
              <input
                {...wiring}
                type="url"
                className="input"
                placeholder="https://hooks.example.com/alerts"
                maxLength={2048}
                autoComplete="off"
                spellCheck={false}
                value={hook.url}
                onChange={(event) => set(hook.key, { url: event.target.value })}
              />
            )}
          </Field>
          <Field label="Format" error={errors[`webhooks[${i}].format`]}>
            {(wiring) => (
              <select
                {...wiring}
                className="select"
                value={hook.format}
                onChange={(event) => set(hook.key, { format: event.target.value as Hook['format'] })}
              >
                <option value="standard">Standard</option>
                <option value="slack">Slack</option>
              </select>
            )}
          </Field>
          <button
            type="button"
            className="button button-icon"
            aria-label={`Remove webhook ${i + 1}`}
            title="Remove"
            onClick={() => onChange(hooks.filter((h) => h.key !== hook.key))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      {errors.webhooks ? <p className="field-error">{errors.webhooks}</p> : null}
      <div className="alert-hooks-foot">
        {hooks.length < maxHooks ? (
          <button
            type="button"
            className="button alert-hook-add"
            onClick={() => onChange([...hooks, { key: newKey(), url: '', format: 'standard' }])}
          >
            <Icon name="plus" />
            Add webhook
          </button>
        ) : (
          <p className="soft small">A rule has at most {maxHooks} webhooks.</p>
        )}
      </div>
      {hooks.length > 0 ? <Receiving /> : null}
    </fieldset>
  )
}
