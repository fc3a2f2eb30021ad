import type { ReactNode } from 'react'
import { useCounts } from '../api/alerts'
import type { Schemas } from '../api/client'
import { can } from '../api/queries'
import { count } from '../format'
import { Link } from '../parts/link'
import { paths, usePlace } from '../router'

type Props = { me: Schemas['Me']; workspace: string; actions?: ReactNode; children: ReactNode }

/** Settings is the frame of the settings' tabs; who may not read figures has no Credits tab. */
export function Settings({ me, workspace, actions, children }: Props) {
  const { path } = usePlace()
  const read = can(me, workspace, 'credits:read')
  const firing = useCounts(workspace, {}, read).data?.firing ?? 0
  const tabs = [
    { name: 'Credits', href: paths.credits(workspace), shown: read, firing: 0 },
    { name: 'Alerts', href: paths.alerts(workspace), shown: read, firing },
    { name: 'Access', href: paths.access(workspace), shown: true, firing: 0 },
  ]
  return (
    <>
      <div className="page-head">
        <h1>Settings</h1>
        {actions}
      </div>
      <nav className="tabs" aria-label="Settings">
        {tabs
          .filter((tab) => tab.shown)
          .map((tab) => (
            <Link key={tab.name} href={tab.href} aria-current={path.startsWith(tab.href) ? 'page' : undefined}>
              {tab.name}
              {tab.firing > 0 ? (
                <span className="tab-count figure">
                  {count(tab.firing)} <span className="hidden-visually">firing</span>
                </span>
              ) : null}
            </Link>
          ))}
      </nav>
      {children}
    </>
  )
}

/** NoCredits is for who follows a link to figures without the permission to see them. */
export function NoCredits() {
  return (
    <div className="panel state">
      <p className="state-title">You do not have permission to see credits</p>
      <p className="soft">Ask the administrator of your workspace for access.</p>
    </div>
  )
}
