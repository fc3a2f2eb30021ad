import { type RefObject, useRef, useState } from 'react'
import type { Schemas, Scope } from '../../api/client'
import { serverNow } from '../../api/clock'
import { ago, day, instant } from '../../format'
import { Badge } from '../../parts/badge'
import { Confirm } from '../../parts/confirm'
import { Icon } from '../../parts/icon'
import { Panel } from '../../parts/panel'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'
import { useNow } from '../../shell/freshness'
import { CreateKey } from './createkey'
import { useKeys, useRevokeKey } from './queries'
import { mayOf } from './scopes'

type Key = Schemas['Key']
type Props = { workspace: string; zone: string; subject: string; own: Scope[]; note: string }

/** Keys are what programs sign in with. */
export function Keys({ workspace, zone, subject, own, note }: Props) {
  const keys = useKeys(workspace)
  const [creating, setCreating] = useState(false)
  const [revoking, setRevoking] = useState<Key | null>(null)
  const create = useRef<HTMLButtonElement>(null)
  const after = useRef<HTMLElement>(null)
  const revoke = (key: Key) => {
    after.current = null
    setRevoking(key)
  }
  const list = { zone, subject, own, onRevoke: revoke }
  return (
    <Panel
      title="API keys"
      note={`Programs use them to call the API. ${note}`}
      actions={
        <button ref={create} type="button" className="button button-main" onClick={() => setCreating(true)}>
          <Icon name="plus" />
          Create key
        </button>
      }
    >
      <Loaded query={keys} skeleton={<SkeletonRows rows={3} label="Loading the keys" />}>
        {({ items }) => {
          const active = items.filter((key) => stateOf(key, serverNow()) === 'active')
          const over = items.filter((key) => !active.includes(key))
          return (
            <>
              {active.length === 0 ? (
                <Empty title="No active keys">
                  <p>A key lets a program read figures, or send events, without a person who signs in.</p>
                </Empty>
              ) : (
                <KeyTable keys={active} caption="Active API keys" {...list} />
              )}
              {over.length > 0 ? (
                <details className="more">
                  <summary>{over.length} revoked or expired</summary>
                  <KeyTable keys={over} caption="Revoked and expired API keys" {...list} />
                </details>
              ) : null}
            </>
          )
        }}
      </Loaded>
      {creating ? <CreateKey workspace={workspace} zone={zone} own={own} onClose={() => setCreating(false)} /> : null}
      {revoking ? (
        <Revoke
          workspace={workspace}
          revoked={revoking}
          onClose={() => setRevoking(null)}
          after={after}
          onDone={() => {
            after.current = create.current
          }}
        />
      ) : null}
    </Panel>
  )
}

/** stateOf is how a key stands at an instant. */
export function stateOf(key: Pick<Key, 'revoked_at' | 'expires_at'>, now: number): 'active' | 'revoked' | 'expired' {
  if (key.revoked_at !== null) return 'revoked'
  return key.expires_at !== null && Date.parse(key.expires_at) <= now ? 'expired' : 'active'
}

type TableProps = {
  keys: Key[]
  caption: string
  zone: string
  subject: string
  own: Scope[]
  onRevoke: (key: Key) => void
}

function KeyTable({ keys, caption, zone, subject, own, onRevoke }: TableProps) {
  const now = useNow(30_000)
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label={caption}>
      <table className="table keys">
        <caption className="hidden-visually">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">May</th>
            <th scope="col">Created</th>
            <th scope="col">Last used</th>
            <th scope="col">Expires</th>
            <th scope="col">
              <span className="hidden-visually">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key.key_id}>
              <th scope="row">
                <bdi className="keys-name" title={key.name}>
                  {key.name}
                </bdi>
                <code className="keys-id soft small">{key.key_id}</code>
              </th>
              <td className="keys-scopes">{key.scopes.map(mayOf).join(', ')}</td>
              <td>
                <span className="nowrap">{day(key.created_at, zone)}</span>
                <bdi className="keys-id soft small" title={key.created_by}>
                  {key.created_by === subject ? 'You' : key.created_by}
                </bdi>
              </td>
              <td className="nowrap">
                {key.last_used_at === null ? (
                  <span className="soft">Never</span>
                ) : (
                  <time dateTime={key.last_used_at} title={instant(key.last_used_at, zone)}>
                    {ago(key.last_used_at, now)}
                  </time>
                )}
              </td>
              <td className="nowrap">
                <Expiry of={key} zone={zone} now={now} />
              </td>
              <td className="num">
                {stateOf(key, now) === 'active' && (key.created_by === subject || key.scopes.every((s) => own.includes(s))) ? (
                  <button
                    type="button"
                    className="button button-bad"
                    aria-label={`Revoke ${key.name}`}
                    onClick={() => onRevoke(key)}
                  >
                    Revoke
                  </button>
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** soon is when it is time to make another key, in milliseconds. */
const soon = 7 * 86_400_000

function Expiry({ of: key, zone, now }: { of: Key; zone: string; now: number }) {
  const state = stateOf(key, now)
  if (state === 'revoked') {
    return (
      <>
        <Badge status="revoked" /> <span className="soft small">{day(key.revoked_at ?? '', zone)}</span>
      </>
    )
  }
  if (key.expires_at === null) return <span className="soft">Never</span>
  const date = day(key.expires_at, zone)
  if (state === 'expired') {
    return (
      <>
        <Badge status="expired" /> <span className="soft small">{date}</span>
      </>
    )
  }
  const ends = Date.parse(key.expires_at) - now < soon
  return (
    <span className={ends ? 'keys-soon' : undefined} title={instant(key.expires_at, zone)}>
      {ends ? <Icon name="warn" /> : null}
      {date}
    </span>
  )
}

type RevokeProps = {
  workspace: string
  revoked: Key
  onClose: () => void
  after: RefObject<HTMLElement | null>
  onDone: () => void
}

function Revoke({ workspace, revoked, onClose, after, onDone }: RevokeProps) {
  const revoke = useRevokeKey(workspace)
  return (
    <Confirm
      title="Revoke this key?"
      action="Revoke key"
      acting="Revoking"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() =>
        revoke.mutate(revoked.key_id, {
          onSuccess: () => {
            onDone()
            onClose()
          },
        })
      }
      onClose={onClose}
      after={after}
    >
      <p>
        Programs that use <bdi className="strong">{revoked.name}</bdi> are refused within seconds. This cannot be undone.
      </p>
    </Confirm>
  )
}
