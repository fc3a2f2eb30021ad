import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { sum } from '../src/credits'
import { answer, axe, exact, open, stack } from './stack'
import { listTimeout } from './timeouts'
import { build, longName, world } from './world'

const list = (workspace: string, query = '') => answer(`/workspaces/${workspace}/campaigns${query}`)

/** used is the column of credits used, with the rows that are no campaign's. */
const used = async (page: Page) => ({
  rows: await exact(page, '.campaign-row .cell-used'),
  rest: await exact(page, '.campaign-rest .cell-used'),
  total: (await exact(page, '.campaign-table tfoot .cell-used'))[0],
})

describe.skipIf(!stack.browser)('campaigns', () => {
  test('rows are the exact figures of the API and add up to its total, also when some are filtered out', async () => {
    await build()
    const { page, close } = await open({ as: 'operator' })
    const api = await list(world.plain)
    for (const path of ['campaigns', 'settings/credits']) {
      await page.goto(`/w/${world.plain}/${path}`)
      await page.locator('.campaign-row a').nth(1).waitFor()
      const shown = await used(page)
      expect(shown.rows).toEqual(api.items.map((item: { used: string }) => item.used))
      expect(shown.rest).toEqual([api.unattributed.used])
      expect(shown.total).toBe(api.total.used)
      expect(sum([...shown.rows, ...shown.rest])).toBe(api.total.used)

      await page.getByRole('searchbox', { name: 'Search by name or id' }).fill('LEADS')
      await page.waitForURL(/q=LEADS/)
      await page.locator('.campaign-rest .campaign-foot').nth(1).waitFor()
      const some = await used(page)
      expect(some.rows).toHaveLength(1)
      expect(sum([...some.rows, ...some.rest])).toBe(api.total.used)
    }
    await close()
  })

  test('a name in any script is what it is, and opens its campaign; so does its row', async () => {
    await build()
    const { page, close } = await open({ as: 'operator', width: 360 })
    await page.goto(`/w/${world.plain}/campaigns?sort=name`)
    await page.getByRole('link', { name: 'Leads & more <b>' }).waitFor()
    await page.getByRole('link', { name: longName }).click()
    await page.waitForURL(`**/w/${world.plain}/campaigns/cmp-long`)
    await page.getByRole('heading', { level: 1, name: longName }).waitFor()
    await page.goBack()
    await page.locator('.campaign-row:has(a)').first().locator('.cell-status').click()
    await page.waitForURL(`**/w/${world.plain}/campaigns/cmp-leads`)
    await page.getByText('5,000', { exact: true }).first().waitFor()
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth)).toBe(true)
    await close()
  })

  test('the order is said to who does not see it, and stands in the address', async () => {
    await build()
    const { page, close } = await open({ as: 'operator' })
    await page.goto(`/w/${world.plain}/campaigns`)
    const name = page.getByRole('columnheader', { name: 'Campaign' })
    for (const [order, address] of [
      ['ascending', /\?sort=name$/],
      ['descending', /sort=name&order=desc/],
    ] as const) {
      await name.getByRole('button').click()
      await page.waitForURL(address)
      expect(await name.getAttribute('aria-sort')).toBe(order)
    }
    await close()
  })

  test('of 5,000 all are there to be reached, and few are drawn', async () => {
    await build()
    const { page, close } = await open({ as: 'operator' })
    await page.goto(`/w/${world.many}/campaigns`)
    const more = page.locator('.list-more')
    await page.locator('.campaign-row a').first().waitFor()
    await expect
      .poll(
        async () => {
          // All at once: Playwright's own would wait for one that is just gone.
          await more.evaluateAll((all) => all[0]?.scrollIntoView({ block: 'center' }))
          return more.count()
        },
        { timeout: listTimeout },
      )
      .toBe(0)
    // The head, 5,000 campaigns, unattributed and the total.
    expect(await page.locator('.campaign-table').getAttribute('aria-rowcount')).toBe('5003')
    expect(await page.locator('.campaign-row').count()).toBeLessThan(500)
    expect((await used(page)).total).toBe((await list(world.many, '?limit=1')).total.used)
    await close()
  })

  test('the export is the list, exactly', async () => {
    await build()
    const { page, close } = await open({ as: 'operator' })
    await page.goto(`/w/${world.plain}/settings/credits?q=cmp`)
    const panel = page.getByRole('region', { name: 'Usage by Campaign' })
    await panel.locator('.campaign-row a').first().waitFor()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      panel.getByRole('button', { name: 'Export CSV' }).click(),
    ])
    const lines = readFileSync(await download.path(), 'utf8')
      .trim()
      .split('\r\n')
      .slice(1)
    const api = await list(world.plain)
    expect(sum(lines.map((line) => /,(?:ACTIVE|PAUSED)?,(-?[\d.]+),/.exec(line)?.[1] ?? ''))).toBe(api.total.used)
    expect(lines).toHaveLength(api.items.length + 1)
    await close()
  })

  test('what if stands in the address, changes the end, and leaves nothing behind', async () => {
    await build()
    const { page, close } = await open({ as: 'operator' })
    await page.goto('/w/demo-acme/settings/credits?whatif=1&whatif_scale=0')
    await page.getByRole('dialog', { name: 'What if' }).waitFor()
    await page.getByText('With this nothing is used, so the credits do not run out.').waitFor()
    expect(await axe(page)).toEqual([])
    await page.keyboard.press('Escape')
    await page.waitForURL('**/w/demo-acme/settings/credits')
    await close()
  })

  test('who may not see credits is told so, politely, and an unknown campaign is one', async () => {
    await build()
    const bob = await open({ as: 'bob' })
    await bob.page.goto('/w/demo-acme/campaigns')
    await bob.page.getByText('You do not have permission to see credits').waitFor()
    expect(await exact(bob.page, 'main')).toEqual([])
    await bob.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Campaigns' }).waitFor()
    await bob.close()
    const { page, close } = await open({ as: 'operator', expected: /404/ })
    await page.goto(`/w/${world.plain}/campaigns/nobody`)
    await page.getByText('There is no such campaign').waitFor()
    await close()
  })

  test('its pages are for everybody', async () => {
    await build()
    for (const [width, theme] of [
      [1440, 'light'],
      [360, 'dark'],
    ] as const) {
      const { page, close } = await open({ as: 'operator', width, theme })
      await page.goto(`/w/${world.plain}/campaigns`)
      await page.locator('.campaign-row a').first().waitFor()
      expect(await axe(page)).toEqual([])
      await page.goto(`/w/${world.plain}/campaigns/cmp-leads`)
      await page.locator('.chart svg').first().waitFor()
      await page.locator('.recent-table').waitFor()
      expect(await axe(page)).toEqual([])
      await close()
    }
  })
})
