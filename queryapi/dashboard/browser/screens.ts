// Every screen of the page, in every state that looks different: where it is and
// what has to be there before it is looked at.
import type { Page } from 'playwright-core'
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
  /** Is it one that people are on most of the time? These are looked at on a phone as well. */
  main?: boolean
}

const credits = '/w/demo-acme/settings/credits'
const alerts = '/w/demo-acme/settings/alerts'
const heading = (name: string | RegExp) => (page: Page) => page.getByRole('heading', { name }).first().waitFor()
const press = (name: string | RegExp) => (page: Page) => page.getByRole('button', { name }).first().click()
const dialog = (page: Page) => page.getByRole('dialog').first().waitFor()

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

export const screens: Screen[] = [
  { name: 'campaigns', path: '/w/demo-acme/campaigns', sign: heading('Campaigns'), main: true },
  { name: 'campaign', path: mostUsed, sign: heading('Recent history'), main: true },
  { name: 'credits', path: credits, sign: heading('Usage by Campaign'), main: true },
  { name: 'credits-table', path: `${credits}?table=1&compare=previous`, sign: heading('Usage by Campaign') },
  { name: 'credits-cumulative', path: `${credits}?view=cumulative&group=action`, sign: heading('Usage by Campaign') },
  { name: 'credits-what-if', path: credits, sign: heading('Why did it change?'), act: press('What if') },
  { name: 'history', path: `${credits}/history`, sign: heading('Entries'), act: openRow, main: true },
  { name: 'history-events', path: `${credits}/history?view=events`, sign: heading('Entries'), act: openRow },
  { name: 'history-export', path: `${credits}/history`, sign: heading('Entries'), act: press(/^Export$/) },
  { name: 'alerts-rules', path: `${alerts}?part=rules`, sign: heading('Rules'), main: true },
  { name: 'alerts-incidents', path: `${alerts}?part=incidents`, sign: heading('Incidents') },
  { name: 'alerts-deliveries', path: `${alerts}?part=deliveries`, sign: heading('Deliveries') },
  { name: 'alerts-rule', path: `${alerts}?part=rules`, sign: heading('Rules'), act: press('New rule') },
  { name: 'access', path: '/w/demo-acme/settings/access', sign: heading('API keys'), main: true },
  { name: 'access-key', path: '/w/demo-acme/settings/access', sign: heading('API keys'), act: press('Create key') },
  { name: 'workspaces', path: '/workspaces', sign: heading('Workspaces'), main: true },
  { name: 'sign-in', path: credits, as: null, sign: heading('Sign in to Drawdown'), expected: /401/ },
  { name: 'not-found', path: '/w/demo-acme/nowhere', sign: heading('Not found') },
  { name: 'no-permission', path: credits, as: 'bob', sign: heading('Settings') },
  { name: 'unused', path: `/w/${world.unused}/settings/credits`, sign: heading('Remaining Credits') },
  { name: 'overdrawn', path: `/w/${world.over}/settings/credits`, sign: heading('Remaining Credits') },
  { name: 'above', path: `/w/${world.above}/settings/credits`, sign: heading('Remaining Credits') },
  { name: 'many', path: `/w/${world.many}/campaigns`, sign: heading('Campaigns') },
  { name: 'long-names', path: `/w/${world.plain}/settings/credits`, sign: heading('Usage by Campaign') },
  {
    name: 'failed',
    path: credits,
    before: (page) =>
      page.route('**/v1/workspaces/*/usage?*', (route) =>
        route.fulfill({
          status: 500,
          contentType: 'application/problem+json',
          body: JSON.stringify({ title: 'Service unavailable', status: 500, code: 'unavailable', request_id: 'r-1' }),
        }),
      ),
    sign: (page) => page.getByRole('alert').first().waitFor(),
    expected: /500/,
  },
]

/** look brings a screen up and waits until it has all it shows. */
export async function look(page: Page, screen: Screen) {
  await screen.before?.(page)
  await page.goto(typeof screen.path === 'string' ? screen.path : await screen.path())
  await screen.sign(page)
  await still(page)
  if (!screen.act) return
  await screen.act(page)
  if (/dialog|export|what-if|rule$|key$/.test(screen.name)) await dialog(page)
  await still(page)
}

/** still waits until nothing is being loaded or on its way to another colour. */
export async function still(page: Page) {
  await page.waitForFunction(() => !document.querySelector('main .skeleton, main .panel[aria-busy="true"]'))
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
  await page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== 'running'))
}

/** themed shows the page in another theme. */
export async function themed(page: Page, colorScheme: 'light' | 'dark') {
  await page.emulateMedia({ colorScheme })
  await still(page)
}
