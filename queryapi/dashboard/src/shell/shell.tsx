import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { Schemas } from '../api/client'
import { can } from '../api/queries'
import { signOut } from '../api/session'
import { Icon, type IconName } from '../parts/icon'
import { Link } from '../parts/link'
import { what } from '../parts/states'
import { go, paths, usePlace } from '../router'
import { ThemeButton } from './theme'

type Props = { me: Schemas['Me']; workspace: string | null; children: ReactNode }

/** Shell is what stands around every screen: where one is, where one can go, who one is. */
export function Shell({ me, workspace, children }: Props) {
  const [open, setOpen] = useState(false)
  const { path } = usePlace()
  const main = useRef<HTMLElement>(null)
  const shown = useRef(path)
  useEffect(() => {
    setOpen(false)
    // Who hears the page is told of a new screen; the first one is announced by the browser.
    if (shown.current !== path) main.current?.focus({ preventScroll: true })
    shown.current = path
  }, [path])
  const name = me.workspaces.find((w) => w.workspace_id === workspace)?.name ?? workspace ?? ''
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="topbar">
        <button type="button" className="button button-icon" aria-label="Menu" aria-expanded={open} onClick={() => setOpen(true)}>
          <Icon name="menu" />
        </button>
        <Brand />
        <span className="topbar-where">{name}</span>
      </header>
      <Sidebar me={me} workspace={workspace} />
      {open ? <Drawer me={me} workspace={workspace} onClose={() => setOpen(false)} /> : null}
      <main id="main" className="main" tabIndex={-1} ref={main}>
        <div className="page">{children}</div>
      </main>
    </div>
  )
}

function Brand() {
  return (
    <Link className="brand" href="/">
      <img src="/favicon.svg" alt="" width="24" height="24" />
      Drawdown
    </Link>
  )
}

function Drawer({ me, workspace, onClose }: { me: Schemas['Me']; workspace: string | null; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  return (
    <dialog
      ref={dialog}
      className="drawer-dialog"
      aria-label="Menu"
      onClose={onClose}
      onClick={(e) => e.target === dialog.current && onClose()}
      onKeyDown={() => {}}
    >
      <button type="button" className="button button-icon drawer-close" aria-label="Close menu" onClick={onClose}>
        <Icon name="close" />
      </button>
      <Sidebar me={me} workspace={workspace} />
    </dialog>
  )
}

function Sidebar({ me, workspace }: { me: Schemas['Me']; workspace: string | null }) {
  const { path } = usePlace()
  const operator = me.workspaces.some((w) => w.scopes.includes('operator'))
  return (
    <aside className="sidebar" aria-label="Sidebar">
      <Brand />
      {workspace !== null ? <WorkspaceSwitch me={me} workspace={workspace} /> : null}
      <nav aria-label="Main" className="sidebar-nav">
        {workspace !== null ? (
          <NavLink href={paths.campaigns(workspace)} icon="campaigns" current={path.startsWith(paths.campaigns(workspace))}>
            Campaigns
          </NavLink>
        ) : null}
        {operator ? (
          <NavLink href={paths.workspaces()} icon="workspaces" current={path === paths.workspaces()}>
            Workspaces
          </NavLink>
        ) : null}
      </nav>
      <div className="sidebar-foot">
        {workspace !== null ? (
          <nav aria-label="Workspace">
            <NavLink href={settingsPath(me, workspace)} icon="settings" current={path.includes('/settings')}>
              Settings
            </NavLink>
          </nav>
        ) : null}
        <Account me={me} />
      </div>
    </aside>
  )
}

/** settingsPath is the first tab that somebody may see. */
export function settingsPath(me: Schemas['Me'], workspace: string) {
  return can(me, workspace, 'credits:read') ? paths.credits(workspace) : paths.access(workspace)
}

function NavLink({ href, icon, current, children }: { href: string; icon: IconName; current: boolean; children: ReactNode }) {
  return (
    <Link className="nav-link" href={href} aria-current={current ? 'page' : undefined}>
      <Icon name={icon} />
      {children}
    </Link>
  )
}

function WorkspaceSwitch({ me, workspace }: { me: Schemas['Me']; workspace: string }) {
  return (
    <label className="switch">
      <span className="label">Workspace</span>
      <select className="select" value={workspace} onChange={(event) => go(paths.campaigns(event.target.value))}>
        {me.workspaces.map((w) => (
          <option key={w.workspace_id} value={w.workspace_id}>
            {w.name ?? w.workspace_id}
          </option>
        ))}
        {me.workspaces.every((w) => w.workspace_id !== workspace) ? <option value={workspace}>{workspace}</option> : null}
      </select>
    </label>
  )
}

function Account({ me }: { me: Schemas['Me'] }) {
  const out = useMutation({ mutationFn: signOut })
  return (
    <>
      <div className="account">
        <span className="account-name" title={me.subject}>
          {me.subject}
        </span>
        <span className="account-actions">
          <ThemeButton />
          <button
            type="button"
            className="button button-icon"
            aria-label="Sign out"
            title="Sign out"
            disabled={out.isPending}
            onClick={() => out.mutate()}
          >
            <Icon name="out" />
          </button>
        </span>
      </div>
      {out.error ? (
        <p className="small tone-bad" role="alert">
          You are still signed in. {what(out.error).title}.
        </p>
      ) : null}
    </>
  )
}
