import type { Scope } from '../../api/client'
import { Icon } from '../../parts/icon'
import { Panel } from '../../parts/panel'
import { scopes as all } from './scopes'

/** You says who somebody is to this workspace, and what they may do in it. */
export function You({ subject, scopes }: { subject: string; scopes: Scope[] }) {
  const missing = all.filter(({ scope }) => scope !== 'operator' && !scopes.includes(scope))
  return (
    <Panel title="Your access">
      <p>
        <span className="soft">You are signed in as</span> <bdi className="strong">{subject}</bdi>
      </p>
      {scopes.length === 0 ? (
        <p className="soft">
          You are not let into this workspace. Ask its administrator, and name the address that you are signed in as.
        </p>
      ) : (
        <ul className="scopes">
          {all
            .filter(({ scope }) => scopes.includes(scope))
            .map(({ scope, may, more }) => (
              <li key={scope}>
                <Icon name="good" />
                <span>
                  {may} <code className="soft">{scope}</code>
                  <span className="soft small">{more}</span>
                </span>
              </li>
            ))}
        </ul>
      )}
      {scopes.length > 0 && missing.length > 0 ? (
        <p className="soft small scopes-missing">
          You may not: {missing.map(({ may }) => may.toLowerCase()).join(', ')}. Ask the administrator of your workspace if you
          need to. Permissions are given where accounts are, not on this page.
        </p>
      ) : null}
    </Panel>
  )
}
