// Where one looks, in which zone and over which range, stands in the address and goes along.
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { axe, exact, open, stack } from './stack'
import { build, world } from './world'

const credits = `/w/${world.plain}/settings/credits`
const day = (back: number) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10)

/** lasting is what of the address holds on every screen. */
const lasting = (page: Page) => {
  const { searchParams } = new URL(page.url())
  return Object.fromEntries(
    ['zone', 'preset', 'from', 'to'].flatMap((key) => (searchParams.has(key) ? [[key, searchParams.get(key)]] : [])),
  )
}

const heading = (page: Page, name: string | RegExp) => page.getByRole('heading', { name }).first().waitFor()
const tab = (page: Page, name: string) =>
  page
    .getByRole('navigation', { name: 'Settings' })
    .getByRole('link', { name: new RegExp(`^${name}`) })
    .click()

describe.skipIf(!stack.browser)('links', () => {
  beforeAll(build)

  for (const kept of [
    { zone: 'utc', preset: 'last_7_days' },
    { zone: 'browser', from: day(5), to: day(2) },
  ]) {
    test(`keep ${Object.keys(kept).join(', ')} from screen to screen, and the back button gives each of them back`, async () => {
      const { page, close } = await open({ zone: 'Asia/Kolkata' })
      await page.goto(`${credits}?${new URLSearchParams(kept)}`)
      const total = async () => (await exact(page, '.trends-total'))[0]
      await expect.poll(total).toBeTruthy()
      const used = await total()
      const range = kept.preset ?? ''
      expect(await page.locator('.trends').getByLabel('Range', { exact: true }).inputValue()).toBe(range)

      const been: string[] = [page.url()]
      const step = async (go: () => Promise<unknown>, there: () => Promise<unknown>) => {
        await go()
        await there()
        expect(lasting(page)).toEqual(kept)
        been.push(page.url())
      }
      await step(
        () => page.getByRole('link', { name: 'View Credit History' }).click(),
        () => heading(page, 'Entries'),
      )
      expect(await page.locator('#log-preset').inputValue()).toBe(range || '~')
      await step(
        () => page.getByRole('navigation', { name: 'Breadcrumb' }).getByRole('link', { name: 'Credits' }).click(),
        () => expect.poll(total).toBe(used),
      )
      await step(
        () => page.getByRole('link', { name: 'Leads & more <b>' }).click(),
        () => heading(page, 'Usage over time'),
      )
      expect(await page.getByLabel('Range', { exact: true }).inputValue()).toBe(range)
      await step(
        () => page.getByRole('navigation', { name: 'Workspace' }).getByRole('link', { name: 'Settings' }).click(),
        () => expect.poll(total).toBe(used),
      )
      await step(
        () => tab(page, 'Alerts'),
        () => page.locator('#alerts-preset').waitFor(),
      )
      expect(await page.locator('#alerts-preset').inputValue()).toBe(range || '~')
      await step(
        () => tab(page, 'Access'),
        () => heading(page, 'API keys'),
      )
      await step(
        () => tab(page, 'Credits'),
        () => expect.poll(total).toBe(used),
      )
      await step(
        () => page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Campaigns' }).click(),
        () => heading(page, 'Campaigns'),
      )
      for (const url of been.toReversed().slice(1)) {
        await page.goBack()
        await expect.poll(() => page.url()).toBe(url)
      }
      await expect.poll(total).toBe(used)
      // A link that was sent shows the same to who opens it.
      await page.reload()
      await expect.poll(total).toBe(used)
      expect(lasting(page)).toEqual(kept)
      await close()
    })
  }

  test('another workspace is looked at in the same zone', async () => {
    const { page, close } = await open()
    await page.goto(`${credits}?zone=utc&preset=last_7_days`)
    await page.getByRole('combobox', { name: 'Workspace' }).selectOption(world.above)
    await page.waitForURL(`**/w/${world.above}/campaigns?*`)
    expect(lasting(page)).toEqual({ zone: 'utc', preset: 'last_7_days' })
    await close()
  })

  test('the operators’ list of workspaces tells all times in one zone, and leads on in it', async () => {
    const zone = 'Asia/Kolkata'
    const { page, close } = await open({ zone })
    await page.goto('/workspaces?q=w-plain')
    const row = page.locator('.board-row', { hasText: world.plain })
    await row.waitFor()
    await page.getByText(/Times in UTC/).waitFor()
    await page.getByRole('combobox', { name: 'Time zone' }).selectOption('browser')
    await page.waitForURL(/zone=browser/)
    await page.getByText(/Times in .*5:30/).waitFor()
    const shown = await page.locator('.panel', { has: row }).getByText(/As of/).textContent()
    const at = new Intl.DateTimeFormat('en-US', { timeZone: zone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
    // The minute that the panel was read in, or the one before.
    const minutes = [0, 60_000].map((back) => `As of ${at.format(Date.now() - back)}`)
    expect(
      minutes.some((minute) => shown?.startsWith(minute)),
      `${shown}: ${minutes}`,
    ).toBe(true)
    await row.getByRole('link').click()
    await page.waitForURL(`**${credits}?zone=browser`)
    await page.getByRole('combobox', { name: 'Time zone' }).waitFor()
    expect(await page.getByRole('combobox', { name: 'Time zone' }).inputValue()).toBe('browser')
    await close()
  })

  test('the Alerts tab leads to how messages are received, on this server', async () => {
    const { page, context, close } = await open()
    const asked: string[] = []
    context.on('request', (request) => asked.push(request.url()))
    await page.goto(`/w/${world.plain}/settings/alerts?part=deliveries`)
    const [opened] = await Promise.all([
      context.waitForEvent('page'),
      page.getByRole('link', { name: 'How to receive them' }).click(),
    ])
    await opened.getByRole('heading', { level: 1, name: 'Receiving alerts' }).waitFor()
    expect(new URL(opened.url()).pathname).toBe('/docs/webhooks')
    expect(asked.filter((url) => !url.startsWith(stack.url))).toEqual([])
    expect(await axe(opened)).toEqual([])
    await close()
  })
})
