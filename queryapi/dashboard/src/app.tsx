import { type ComponentType, useEffect } from 'react'
import { ApiError, type Schemas } from './api/client'
import { can, forget, useMe } from './api/queries'
import { Access } from './pages/access/access'
import { Alerts } from './pages/alerts/alerts'
import { Campaign } from './pages/campaign/campaign'
import { Campaigns } from './pages/campaigns/campaigns'
import { Credits } from './pages/credits/credits'
import { History } from './pages/history/history'
import type { ScreenProps } from './pages/screen'
import { Workspaces } from './pages/workspaces/workspaces'
import { Boundary } from './parts/boundary'
import { Empty, ErrorState } from './parts/states'
import { leading, match, navigate, paths, usePlace } from './router'
import { AlertNotices } from './shell/alertnotices'
import { Shell, settingsPath } from './shell/shell'
import { Welcome } from './shell/welcome'
import { WorkspaceZone, zoneOr } from './shell/zone'

/** screens by path; the first that matches is shown. */
const screens: { path: string; title: string; show: ComponentType<ScreenProps> }[] = [
  { path: '/w/:workspace/campaigns', title: 'Campaigns', show: Campaigns },
  { path: '/w/:workspace/campaigns/:campaign', title: 'Campaign', show: Campaign },
  { path: '/w/:workspace/settings/credits', title: 'Credits', show: Credits },
  { path: '/w/:workspace/settings/credits/history', title: 'Credit history', show: History },
  { path: '/w/:workspace/settings/alerts', title: 'Alerts', show: Alerts },
  { path: '/w/:workspace/settings/access', title: 'Access', show: Access },
]

/** App is the page: who is there, then what the address names. */
export function App() {
  const me = useMe()
  const place = usePlace()
  if (me.error instanceof ApiError && me.error.status === 401) return <Welcome ended={me.data !== undefined} />
  if (me.data === undefined) {
    return me.isError ? (
      <main className="welcome">
        <ErrorState error={me.error} onRetry={() => void me.refetch()} busy={me.isFetching} />
      </main>
    ) : (
      <main className="welcome" aria-busy="true">
        <p className="soft" role="status">
          Loading
        </p>
      </main>
    )
  }
  return <Signed key={me.data.subject} me={me.data} path={place.path} query={place.query} />
}

function Signed({ me, path, query }: { me: Schemas['Me']; path: string; query: URLSearchParams }) {
  const to = forwarded(me, path, query)
  const forward = to === null ? null : leading({ path, query }, to)
  useEffect(() => {
    if (forward !== null) navigate(forward, { replace: true })
  }, [forward])
  const looked = match('/w/:workspace', path.split('/').slice(0, 3).join('/'))?.workspace ?? null
  // After what showed another workspace has gone: of two at a time nobody is to see the one in the other.
  useEffect(() => forget({ workspace: looked }), [looked])
  if (forward !== null) return null
  if (path === paths.workspaces()) {
    return (
      <Shell me={me} workspace={remembered(me)}>
        <Title of="Workspaces" />
        <Boundary>
          <Workspaces me={me} />
        </Boundary>
      </Shell>
    )
  }
  for (const { path: pattern, title, show: Show } of screens) {
    const params = match(pattern, path)
    if (params === null) continue
    const workspace = params.workspace ?? ''
    remember(workspace)
    const entry = me.workspaces.find((w) => w.workspace_id === workspace)
    return (
      <WorkspaceZone value={zoneOr(entry?.time_zone)}>
        <Shell me={me} workspace={workspace}>
          <Title of={title} in={entry?.name ?? workspace} />
          <Boundary key={path}>
            <Show me={me} workspace={workspace} params={params} />
          </Boundary>
          {can(me, workspace, 'credits:read') ? <AlertNotices key={workspace} workspace={workspace} /> : null}
        </Shell>
      </WorkspaceZone>
    )
  }
  return (
    <Shell me={me} workspace={remembered(me)}>
      <Title of="Not found" />
      <h1>Not found</h1>
      {me.workspaces.length === 0 && path === '/' ? (
        <Empty title="No workspace yet">
          <p>A workspace is there as soon as an event, a grant or a campaign names it and you are let into it.</p>
        </Empty>
      ) : (
        <Empty title="There is no such page">
          <p>The address may be mistyped, or what it led to may be gone.</p>
        </Empty>
      )}
    </Shell>
  )
}

/** forwarded is where an address without a screen of its own leads to; null: nowhere. */
function forwarded(me: Schemas['Me'], path: string, query: URLSearchParams): string | null {
  // What notifications link to.
  if (path === '/settings/alerts') {
    const workspace = query.get('workspace') ?? remembered(me)
    const named = new URLSearchParams()
    for (const key of ['incident', 'rule']) {
      const id = query.get(key)
      if (id) named.set(key, id)
    }
    if (workspace) return paths.alerts(workspace) + (named.size > 0 ? `?${named}` : '')
  }
  const settings = match('/w/:workspace/settings', path)
  if (settings) return settingsPath(me, settings.workspace ?? '')
  const root = match('/w/:workspace', path)
  if (root) return paths.campaigns(root.workspace ?? '')
  const workspace = remembered(me)
  return path === '/' && workspace !== null ? paths.campaigns(workspace) : null
}

const stored = 'drawdown.workspace'

/** remembered is the workspace looked at last, if one may still, else the first. */
function remembered(me: Schemas['Me']): string | null {
  let last: string | null = null
  try {
    last = localStorage.getItem(stored)
  } catch {
    // Storage may be forbidden.
  }
  const readable = me.workspaces.filter((w) => can(me, w.workspace_id, 'credits:read'))
  const known = me.workspaces.find((w) => w.workspace_id === last) ?? readable[0] ?? me.workspaces[0]
  return known?.workspace_id ?? null
}

function remember(workspace: string) {
  try {
    localStorage.setItem(stored, workspace)
  } catch {
    // Then the first one is shown next time.
  }
}

function Title({ of, in: place }: { of: string; in?: string }) {
  return <title>{place ? `${of} · ${place} · Drawdown` : `${of} · Drawdown`}</title>
}
