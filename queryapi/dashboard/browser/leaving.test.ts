// Figures are for who may see them, for as long as they look: what another workspace or another person left is neither
// on the page nor in its cache, whatever the back button brings.
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { open, stack } from './stack'
import { build, world } from './world'

/** plain are figures of world.plain that no other workspace has, as the API writes them and as the page does. */
const plain = ['999815.49988', '999,815', '184.50012']

/** cached is all that the page has in its cache, and in what it draws of it. */
const cached = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const root = document.getElementById('root') as unknown as Record<string, Fiber>
    type Fiber = {
      child: Fiber | null
      sibling: Fiber | null
      alternate: Fiber | null
      memoizedProps: { client?: Client } | null
    }
    type Client = { getQueryCache(): Cache; getMutationCache(): Cache }
    type Cache = { getAll(): { queryKey?: unknown; state: { data?: unknown } }[] }
    const key = Object.keys(root).find((name) => name.startsWith('__reactContainer$'))
    const first = key ? root[key] : undefined
    const search = (fiber: Fiber | null | undefined): Client | null => {
      if (!fiber) return null
      const client = fiber.memoizedProps?.client
      return client?.getQueryCache ? client : (search(fiber.child) ?? search(fiber.sibling))
    }
    const client = search(first?.child) ?? search(first?.alternate?.child)
    if (!client) throw new Error('the page has no cache')
    const all = [...client.getQueryCache().getAll(), ...client.getMutationCache().getAll()]
    return JSON.stringify(all.map(({ queryKey, state }) => [queryKey, state.data]))
  })

/** found are the figures of world.plain that a text has. */
const found = (text: string) => plain.filter((figure) => text.includes(figure))

/** anywhere are those on the page or in its cache. */
const anywhere = async (page: Page) => found(`${await page.content()} ${await cached(page)}`)

/** seen fills the page and its cache with the figures of world.plain, screen by screen without loading anew. */
async function seen(page: Page) {
  await page.goto(`/w/${world.plain}/settings/credits`)
  await page.locator('.campaign-row').first().waitFor()
  await page.locator('.trends-total data').waitFor()
  await page.getByRole('link', { name: 'View Credit History' }).click()
  await page.locator('.log-row').first().waitFor()
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Campaigns' }).click()
  await page.locator('.headline data').nth(1).waitFor()
  expect(await anywhere(page)).toEqual(plain)
}

/** atOnce is too soon for who is told by nobody, in milliseconds: a page asks who is there every 30 s. */
const atOnce = { timeout: 20_000 }

const signedOut = (page: Page) => page.getByRole('heading', { level: 1, name: /Sign in to Drawdown|You are signed out/ })
const signOut = (page: Page) => page.getByRole('button', { name: 'Sign out' }).click()

describe.skipIf(!stack.browser)('leaving', () => {
  beforeAll(build)

  test('another workspace is looked at without anything of the one before', async () => {
    const { page, close } = await open()
    await seen(page)
    const choice = page.getByRole('combobox', { name: 'Workspace' })
    await choice.selectOption(world.above)
    await page.waitForURL(`**/w/${world.above}/campaigns`)
    await page.locator('.headline data').nth(1).waitFor()
    expect(await anywhere(page)).toEqual([])
    // Nor does the list of all workspaces stay behind, once one of them is looked at.
    await page.getByRole('link', { name: 'Workspaces' }).click()
    await page.locator('.board-row', { hasText: world.plain }).waitFor()
    expect(await anywhere(page)).toEqual(plain)
    await page.locator('.board-row', { hasText: world.over }).getByRole('link').click()
    await page.locator('.remaining-big data').waitFor()
    expect(await anywhere(page)).toEqual([])
    // The way back is there, and asks anew.
    await page.goBack()
    await page.goBack()
    await page.goBack()
    await page.waitForURL(`**/w/${world.plain}/campaigns`)
    await page.locator('.headline data').nth(1).waitFor()
    expect(await anywhere(page)).toEqual(plain)
    await close()
  })

  test('who has signed out leaves nothing, and the back button brings nothing back', async () => {
    const { page, close } = await open({ fresh: true, kept: true, expected: /401/ })
    // What was drawn when the browser brought a page back as it was left, before anything was asked.
    await page.addInitScript(() => {
      const shown: { persisted: boolean; text: string }[] = []
      Object.assign(window, { shown })
      window.addEventListener('pageshow', ({ persisted }) => shown.push({ persisted, text: document.body.textContent ?? '' }))
    })
    await seen(page)
    const left: string[] = []
    page.on('framenavigated', (frame) => left.push(frame.url()))
    await signOut(page)
    await page.waitForURL(`${stack.url}/`)
    await signedOut(page).waitFor()
    expect(await anywhere(page)).toEqual([])
    for (let i = 0; i < 2; i++) {
      await page.goBack()
      await signedOut(page).waitFor()
      expect(await anywhere(page)).toEqual([])
    }
    const shown = await page.evaluate(() => (window as unknown as { shown: { persisted: boolean; text: string }[] }).shown)
    // Nor is the browser let keep it: that it would have is what it says itself.
    const reasons = await page.evaluate(() => {
      const [entry] = performance.getEntriesByType('navigation')
      const { notRestoredReasons } = entry as unknown as { notRestoredReasons: { reasons: { reason: string }[] } | null }
      return notRestoredReasons?.reasons.map(({ reason }) => reason) ?? []
    })
    expect(shown.some(({ persisted }) => persisted) ? [] : reasons).toContain('response-cache-control-no-store')
    expect(shown.flatMap(({ text }) => found(text))).toEqual([])
    expect(left.length).toBeGreaterThan(1)
    await close()
  })

  test('the other windows of a browser are signed out at once', async () => {
    const { page, context, close } = await open({ fresh: true, expected: /401/ })
    await seen(page)
    const other = await context.newPage()
    await seen(other)
    // From now on it asks in vain, who is there as well as all else: only another window can tell it.
    await other.route('**/v1/**', () => {})
    await signOut(page)
    await signedOut(page).waitFor()
    await signedOut(other).waitFor(atOnce)
    expect(await anywhere(other)).toEqual([])
    await close()
  })

  test('who could not be signed out is told so, and sees what there was', async () => {
    const { page, close } = await open({ expected: /Failed to load|ERR_|500/ })
    await seen(page)
    await page.route('**/auth/sign-out', (route) => route.abort('connectionrefused'))
    await signOut(page)
    await page.getByText('You are still signed in. The server cannot be reached.').waitFor()
    expect(await anywhere(page)).toEqual(plain)
    await close()
  })

  test('somebody else who signs in in another window is noticed at once in all of them', async () => {
    const carol = await open({ as: 'carol' })
    const { cookies } = await carol.context.storageState()
    await carol.close()
    // Only now: it asks who is there when it is opened, and every half minute from then on.
    const { page, context, close } = await open({ expected: /404/ })
    await page.goto(`/w/${world.plain}/campaigns`)
    await page.locator('.headline data').nth(1).waitFor()
    await context.clearCookies()
    await context.addCookies(cookies)
    const other = await context.newPage()
    await other.goto('/')
    await page.getByText('You do not have permission to see credits').waitFor(atOnce)
    expect(await anywhere(page)).toEqual([])
    await close()
  })

  test('somebody else who signs in beside it finds nothing of who was there', async () => {
    const { page, context, close } = await open({ expected: /404/ })
    await seen(page)
    const carol = await open({ as: 'carol' })
    const { cookies } = await carol.context.storageState()
    await carol.close()
    await context.clearCookies()
    await context.addCookies(cookies)
    // As a device does that comes back to its network.
    await page.evaluate(() => window.dispatchEvent(new Event('online')))
    await page.getByText('You do not have permission to see credits').waitFor()
    expect(await anywhere(page)).toEqual([])
    await close()
  })
})
