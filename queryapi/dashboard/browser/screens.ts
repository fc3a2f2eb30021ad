// Every screen of the page, in every state that looks different: where it is and
// what has to be there before it is looked at.
import type { Page, Route } from 'playwright-core'
import { answer, type Person } from './stack'
import { world } from './world'

/** Screen is one thing to look at. */
export type Screen = {
  name: string
  path: string | (() => Promise<string>)
  /** operator, if it says nothing; null: nobody is signed in. */
  as?: Person | null
  /** What is only there when the screen is. */
  sign: (page: Page) => Promise<unknown>
  /** What is done first, such as opening a dialog. */
  act?: (page: Page) => Promise<unknown>
  /** What is broken before the page is asked for. */
  before?: (page: Page) => Promise<unknown>
  /** What the page says about that to the console. */
  expected?: RegExp
  /** Is it one that people are on most of the time? axe looks at these on a phone as well. */
  main?: boolean
  /** How wide it is looked at; 1440 and 360 if it says nothing. */
  widths?: number[]
  /** Pixels of the device in one of the page: 2 is a page enlarged to 200 %. */
  scale?: number
  /** On paper, or in the few colours that a person has chosen. */
  medium?: 'print' | 'forced-colors'
  /** Is it one that never has all it shows? */
  loading?: boolean
}

const credits = '/w/demo-acme/settings/credits'
const alerts = '/w/demo-acme/settings/alerts'
const heading = (name: string | RegExp) => (page: Page) => page.getByRole('heading', { name }).first().waitFor()
const press = (name: string | RegExp) => (page: Page) => page.getByRole('button', { name }).first().click()
const dialog = (page: Page) => page.getByRole('dialog').first().waitFor()
const shown = (text: string | RegExp) => (page: Page) => page.getByText(text).first().waitFor()
/** drawn waits for the three panels of Credits. */
const drawn = async (page: Page) => {
  await page.locator('.remaining-big data.amount').waitFor()
  await page.locator('.trends :is(.chart-plot > svg, .trends-table, .state)').first().waitFor()
  await page.locator('.campaign-table').waitFor()
}

const figures = '**/v1/workspaces/**'
const failing = (status: number, code: string) => (route: Route) =>
  route.fulfill({
    status,
    contentType: 'application/problem+json',
    headers: { 'X-Request-Id': 'r-1' },
    body: JSON.stringify({ title: 'Not now', status, code, detail: 'The store does not answer.', request_id: 'r-1' }),
  })

/** behind makes every figure five minutes old. */
const behind = async (page: Page) => {
  const old = (at: string) => new Date(Date.parse(at) - 300_000).toISOString()
  const { freshness } = await answer('/workspaces/demo-acme/balance')
  await page.route(figures, async (route) => {
    if (route.request().url().endsWith('/live')) {
      const at = new Date().toISOString()
      const body = `event: freshness\ndata: ${JSON.stringify({ freshness: { ...freshness, at, watermark: old(at) } })}\n\n`
      return route.fulfill({ contentType: 'text/event-stream', body })
    }
    const response = await route.fetch().catch(() => null)
    if (!response) return
    const json = await response.json()
    if (json.freshness) json.freshness.watermark = old(json.freshness.at)
    return route.fulfill({ response, json }).catch(() => {})
  })
}

/** ended takes the session away while the page is open. */
const ended = async (page: Page) => {
  await page.route('**/v1/**', failing(401, 'unauthorized'))
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
}

const makeKey = async (page: Page) => {
  await press('Create key')(page)
  await page.keyboard.type('Nightly report')
  await page.getByRole('checkbox', { name: /credits:read/ }).check()
  await page.keyboard.press('Enter')
  await page.locator('.secret').waitFor()
}

const dryRun = async (page: Page) => {
  await press('New rule')(page)
  await dialog(page)
  const level = page.getByRole('dialog').locator('input[inputmode]').first()
  await level.fill('50')
  await press('Dry run')(page)
  await page.locator('.alert-dry .state-title').waitFor()
}

/** mostUsed is the address of the demo's campaign with most usage. */
async function mostUsed(): Promise<string> {
  const { items } = await answer('/workspaces/demo-acme/campaigns?sort=used&order=desc&limit=1')
  return `/w/demo-acme/campaigns/${encodeURIComponent(items[0].campaign_id)}`
}

const openRow = async (page: Page) => {
  await page
    .getByRole('button', { name: /^Details: Consumption/ })
    .first()
    .click()
  await page.locator('.log-details').first().waitFor()
}

const openMenu = async (page: Page) => {
  await page.setViewportSize({ width: 360, height: 740 })
  await press('Menu')(page)
  await dialog(page)
}

export const screens: Screen[] = [
  { name: 'campaigns', path: '/w/demo-acme/campaigns', sign: heading('Campaigns'), main: true },
  { name: 'campaign', path: mostUsed, sign: heading('Recent history'), main: true },
  { name: 'credits', path: credits, sign: drawn, main: true, widths: [1440, 360, 1920] },
  { name: 'credits-zoomed', path: credits, sign: drawn, widths: [720], scale: 2 },
  { name: 'credits-printed', path: credits, sign: drawn, widths: [720], medium: 'print' },
  { name: 'credits-forced-colors', path: credits, sign: drawn, medium: 'forced-colors' },
  { name: 'credits-table', path: `${credits}?table=1&compare=previous`, sign: drawn },
  { name: 'credits-cumulative', path: `${credits}?view=cumulative&group=action`, sign: drawn },
  { name: 'credits-partial', path: `${credits}?preset=last_24_hours&group=campaign`, sign: drawn },
  { name: 'credits-what-if', path: credits, sign: heading('Why did it change?'), act: press('What if') },
  { name: 'credits-grant-dialog', path: credits, sign: drawn, act: press('Add grant') },
  { name: 'credits-adjust-dialog', path: credits, sign: drawn, act: press('Adjust') },
  { name: 'history', path: `${credits}/history`, sign: heading('Entries'), act: openRow, main: true },
  { name: 'history-events', path: `${credits}/history?view=events`, sign: heading('Entries'), act: openRow },
  { name: 'history-export', path: `${credits}/history`, sign: heading('Entries'), act: press(/^Export$/) },
  { name: 'alerts-rules', path: `${alerts}?part=rules`, sign: heading('Rules'), main: true },
  { name: 'alerts-incidents', path: `${alerts}?part=incidents`, sign: heading('Incidents') },
  { name: 'alerts-deliveries', path: `${alerts}?part=deliveries`, sign: heading('Deliveries') },
  { name: 'alerts-rule', path: `${alerts}?part=rules`, sign: heading('Rules'), act: press('New rule') },
  { name: 'alerts-dry-run', path: `${alerts}?part=rules`, sign: heading('Rules'), act: dryRun },
  { name: 'access', path: '/w/demo-acme/settings/access', sign: heading('API keys'), main: true },
  { name: 'access-key', path: '/w/demo-acme/settings/access', sign: heading('API keys'), act: press('Create key') },
  { name: 'access-key-shown', path: '/w/demo-globex/settings/access', sign: heading('API keys'), act: makeKey },
  { name: 'workspaces', path: '/workspaces', sign: heading('Workspaces'), main: true },
  { name: 'menu', path: '/w/demo-acme/campaigns', sign: heading('Campaigns'), act: openMenu, widths: [360] },
  { name: 'sign-in', path: credits, as: null, sign: heading('Sign in to Drawdown'), expected: /401/ },
  { name: 'signed-out', path: '/w/demo-acme/campaigns', sign: heading('Campaigns'), act: ended, expected: /401/ },
  { name: 'not-found', path: '/w/demo-acme/nowhere', sign: heading('Not found') },
  { name: 'no-permission', path: credits, as: 'bob', sign: heading('Settings') },
  { name: 'unused', path: `/w/${world.unused}/settings/credits`, sign: drawn },
  { name: 'unused-history', path: `/w/${world.unused}/settings/credits/history?view=events`, sign: heading('Entries') },
  { name: 'unused-deliveries', path: `/w/${world.unused}/settings/alerts?part=deliveries`, sign: heading('Deliveries') },
  { name: 'no-campaigns', path: `/w/${world.bare}/campaigns`, sign: shown('No campaigns yet') },
  { name: 'overdrawn', path: `/w/${world.over}/settings/credits`, sign: drawn },
  { name: 'above', path: `/w/${world.above}/settings/credits`, sign: drawn },
  { name: 'many', path: `/w/${world.many}/campaigns`, sign: heading('Campaigns') },
  { name: 'long-names', path: `/w/${world.plain}/settings/credits?group=campaign`, sign: drawn },
  { name: 'long-campaign', path: `/w/${world.plain}/campaigns/cmp-long`, sign: heading('Recent history') },
  { name: 'long-history', path: `/w/${world.plain}/settings/credits/history?view=events`, sign: heading('Entries') },
  {
    name: 'loading',
    path: credits,
    before: (page) => page.route(figures, () => {}),
    sign: (page) => page.locator('.below:not(.below-waiting) .trends .skeleton').first().waitFor(),
    loading: true,
  },
  {
    name: 'loading-campaigns',
    path: '/w/demo-acme/campaigns',
    before: (page) => page.route(figures, () => {}),
    sign: (page) => page.locator('main .skeleton').first().waitFor(),
    loading: true,
  },
  {
    name: 'failed',
    path: credits,
    before: (page) => page.route('**/v1/workspaces/*/usage?*', failing(500, 'internal')),
    sign: (page) => page.getByRole('alert').first().waitFor(),
    expected: /500/,
  },
  {
    name: 'failed-all',
    path: credits,
    before: (page) => page.route(figures, failing(503, 'store_unavailable')),
    sign: (page) => page.locator('.trends [role=alert]').waitFor(),
    expected: /503/,
  },
  { name: 'stale', path: credits, before: behind, sign: shown(/^Counting is/), expected: /ERR_/ },
]

/** look brings a screen up and waits until it has all it shows. */
export async function look(page: Page, screen: Screen) {
  await screen.before?.(page)
  await page.goto(typeof screen.path === 'string' ? screen.path : await screen.path())
  await screen.sign(page)
  await still(page, screen.loading)
  if (!screen.act) return
  await screen.act(page)
  if (/dialog|export|what-if|rule$|key$/.test(screen.name)) await dialog(page)
  await still(page)
}

/** still waits until nothing is being loaded, unless that never ends, or on its way to another place or colour. */
export async function still(page: Page, loading = false) {
  if (!loading) await page.waitForFunction(() => !document.querySelector('main .skeleton, main .panel[aria-busy="true"]'))
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
  await page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== 'running'))
}

/** themed shows the page in another theme. */
export async function themed(page: Page, colorScheme: 'light' | 'dark', loading = false) {
  await page.emulateMedia({ colorScheme })
  await still(page, loading)
}
