// What stands where figures will be: nothing that is not so while the page does not know yet, and what went wrong when
// it will not know.
import type { Page, Route } from 'playwright-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { exact, open, stack } from './stack'
import { build, world } from './world'

const campaigns = `/w/${world.plain}/campaigns`
const who = '**/v1/me'
const balance = '**/v1/workspaces/*/balance'
const refuse = (route: Route) => route.abort('connectionrefused')

/** told collects all that the page ever has on it, from the first on. */
async function told(page: Page) {
  await page.addInitScript(() => {
    const all = new Set<string>()
    Object.assign(window, { all })
    new MutationObserver(() => all.add(document.body?.textContent ?? '')).observe(document, {
      childList: true,
      subtree: true,
      characterData: true,
    })
  })
  return () => page.evaluate(() => [...(window as unknown as { all: Set<string> }).all].join('\n'))
}

const wrong = /Not known|cannot be|went wrong|failed|permission|signed out|Sign in/

describe.skipIf(!stack.browser)('before figures are there', () => {
  beforeAll(build)

  test('the page says that it loads, and nothing else', async () => {
    const { page, close } = await open()
    const all = await told(page)
    let answer = () => {}
    const held = new Promise<void>((done) => {
      answer = done
    })
    for (const address of [who, balance])
      await page.route(address, async (route) => {
        await held
        await route.continue()
      })
    await page.goto(campaigns)
    await page.getByRole('status').filter({ hasText: 'Loading' }).waitFor()
    await page.unroute(balance)
    answer()
    await page.locator('.headline data').nth(1).waitFor()
    expect(await all()).toContain('Loading')
    expect(await all()).not.toMatch(wrong)
    await close()
  })

  test('who is there cannot be asked: it says so, and asks again when told to', async () => {
    const { page, close } = await open({ expected: /Failed to load|ERR_/ })
    await page.route(who, refuse)
    await page.goto(campaigns)
    await page.getByText('The server cannot be reached', { exact: true }).waitFor()
    await page.unroute(who)
    await page.getByRole('button', { name: 'Retry' }).click()
    await page.locator('.headline data').nth(1).waitFor()
    await close()
  })

  test('the balance cannot be had: the headline says so beside what is known, and asks again when told to', async () => {
    const { page, close } = await open({ expected: /Failed to load|ERR_/ })
    await page.route(balance, refuse)
    // The stream has the balance as well.
    await page.route('**/v1/workspaces/*/live', refuse)
    await page.goto(campaigns)
    const headline = page.locator('.headline')
    await headline.getByText('The server cannot be reached. The balance is not known.').waitFor()
    expect(await exact(page, '.headline')).toEqual(['184.50012'])
    await page.unroute(balance)
    await headline.getByRole('button', { name: 'Retry' }).click()
    await expect.poll(() => exact(page, '.headline')).toEqual(['999815.49988', '184.50012'])
    expect(await headline.getByRole('alert').count()).toBe(0)
    await close()
  })

  test('a session that has ended is that, and no figure that failed', async () => {
    const { page, close } = await open({ as: null, expected: /401/ })
    const all = await told(page)
    await page.goto(campaigns)
    await page.getByRole('heading', { name: 'Sign in to Drawdown' }).waitFor()
    expect(await all()).not.toMatch(/Not known|cannot be|went wrong|failed|permission/)
    await close()
  })
})
