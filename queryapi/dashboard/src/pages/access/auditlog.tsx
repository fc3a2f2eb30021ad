import { useState } from 'react'
import { rows } from '../../api/queries'
import { instantSeconds } from '../../format'
import { More } from '../../parts/more'
import { Panel } from '../../parts/panel'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'
import { about, actions, credentials } from './auditwords'
import { type AuditAction, useAuditLog } from './queries'

/** AuditLog is who changed what through the API; what producers wrote is in the history. */
export function AuditLog({ workspace, zone, note }: { workspace: string; zone: string; note: string }) {
  const [action, setAction] = useState<AuditAction | null>(null)
  const log = useAuditLog(workspace, action)
  return (
    <Panel
      title="Audit log"
      note={`Who changed what through this page and the API. ${note}`}
      actions={
        <select
          className="select"
          aria-label="Action"
          value={action ?? ''}
          onChange={(event) => setAction((event.target.value || null) as AuditAction | null)}
        >
          <option value="">All actions</option>
          {Object.entries(actions).map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
        </select>
      }
    >
      <Loaded query={log} skeleton={<SkeletonRows rows={5} label="Loading the audit log" />}>
        {(data) => {
          const items = rows(data)
          if (items.length === 0) {
            return (
              <Empty title={action ? 'Nobody has done that' : 'Nothing has been changed yet'}>
                <p>Changes of credits, keys and alert rules will stand here.</p>
              </Empty>
            )
          }
          return (
            <>
              <div className="table-wrap" tabIndex={0} role="region" aria-label="Changes, the newest first">
                <table className="table audit">
                  <thead>
                    <tr>
                      <th scope="col">When</th>
                      <th scope="col">Who</th>
                      <th scope="col">What</th>
                      <th scope="col">Details</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((entry) => (
                      <tr key={`${entry.request_id}/${entry.action}/${entry.at}`}>
                        <td className="nowrap">
                          <time dateTime={entry.at} title={entry.at}>
                            {instantSeconds(entry.at, zone)}
                          </time>
                        </td>
                        <td>
                          <bdi className="keys-name" title={entry.subject}>
                            {entry.subject}
                          </bdi>
                          <span className="keys-id soft small">{credentials[entry.credential]}</span>
                        </td>
                        <td className="nowrap">{actions[entry.action] ?? entry.action}</td>
                        <td>
                          <bdi className="audit-about">{about(entry)}</bdi>
                          <details>
                            <summary className="soft small">All details</summary>
                            <pre>{JSON.stringify({ request_id: entry.request_id, ...entry.detail }, null, 2)}</pre>
                          </details>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              <More pages={log} />
            </>
          )
        }}
      </Loaded>
    </Panel>
  )
}
