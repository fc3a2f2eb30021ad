// Each step and each success criterion of the guide to the dashboard that this page stands in for.
import { beforeAll, describe, expect, test } from 'vitest'
import { answer, counted, exact, open, stack, type Timed, timed, times, use } from './stack'
import { build, longName, world } from './world'

const panel = (name: string) => `section:has(> header h2:text-is("${name}"))`
const remaining = panel('Remaining Credits')
const trends = panel('Credit Usage Trends')
const campaigns = panel('Usage by Campaign')

describe.skipIf(!stack.browser)('the guide', () => {
  beforeAll(build)

  test('a person of the workspace goes from Campaigns by Settings to Credits and sees the three panels', async () => {
    const { page, close } = await open({ as: 'alice' })
    await page.goto('/')
    await page.getByRole('heading', { level: 1, name: 'Campaigns' }).waitFor()
    await page.getByRole('link', { name: 'Targeted outreach for software sales leaders' }).waitFor()
    await page.getByRole('link', { name: 'Settings' }).click()
    await page.getByRole('navigation', { name: 'Settings' }).getByRole('link', { name: 'Credits' }).click()
    await page.waitForURL('**/w/demo-acme/settings/credits')
    for (const title of ['Remaining Credits', 'Credit Usage Trends', 'Usage by Campaign']) {
      await page.getByRole('heading', { level: 2, name: title }).waitFor()
    }
    const shown = page.locator(remaining)
    await shown.getByText('Days remaining').waitFor()
    await shown.getByText('Expires on').waitFor()
    await shown.getByText('credits allocated').waitFor()
    await page.locator(`${trends} svg`).first().waitFor()
    const table = page.locator(campaigns).getByRole('table')
    for (const column of ['Campaign', 'Used', 'Quota', 'Projected', 'Status']) {
      await table
        .getByRole('columnheader', { name: new RegExp(column, 'i') })
        .first()
        .waitFor()
    }
    await close()
  })

  test('View Credit History shows a chronological log', async () => {
    const { page, close } = await open({ as: 'alice' })
    await page.goto('/w/demo-acme/settings/credits')
    await page.getByRole('link', { name: 'View Credit History' }).click()
    await page.waitForURL('**/settings/credits/history')
    await page.getByRole('heading', { name: 'Credit History' }).waitFor()
    const times = page.locator('main table time')
    await times.first().waitFor()
    const at = await times.evaluateAll((all) => all.map((one) => Date.parse(one.getAttribute('datetime') ?? '')))
    expect(at.length).toBeGreaterThan(5)
    expect(at).toEqual([...at].sort((a, b) => b - a))
    await close()
  })

  test('the date range at the top right of the trends filters the graph, and the back button takes it back', async () => {
    const { page, close } = await open({ as: 'alice' })
    await page.goto('/w/demo-acme/settings/credits')
    const total = async () => (await exact(page, trends))[0]
    await page.locator(`${trends} data.amount`).first().waitFor()
    const range = page.locator(trends).getByLabel('Range', { exact: true })
    const choices = await range.locator('option').allTextContents()
    const week = choices.find((text) => /last 7 days/i.test(text))
    expect(week, choices.join(', ')).toBeTruthy()
    const asked = page.waitForResponse((response) => /\/usage\?.*from=/.test(response.url()) && response.ok())
    const before = await total()
    await range.selectOption({ label: week ?? '' })
    const usage = await (await asked).json()
    const days = (Date.parse(usage.to) - Date.parse(usage.from)) / 86_400_000
    expect(Math.round(days)).toBe(7)
    await expect.poll(total).not.toBe(before)
    await expect.poll(() => new URL(page.url()).search).not.toBe('')
    const sent = page.url()
    await page.reload()
    expect(page.url()).toBe(sent)
    await page.goBack()
    await expect.poll(() => new URL(page.url()).search).toBe('')
    await close()
  })

  test('without permission there is no Credits tab, and a link to it says whom to ask', async () => {
    const { page, close } = await open({ as: 'bob' })
    await page.goto('/')
    await page.getByRole('link', { name: 'Settings' }).click()
    const tabs = page.getByRole('navigation', { name: 'Settings' })
    await tabs.getByRole('link', { name: 'Access' }).waitFor()
    expect(await tabs.getByRole('link', { name: 'Credits' }).count()).toBe(0)
    await page.goto('/w/demo-acme/settings/credits')
    await page.getByText('You do not have permission to see credits').waitFor()
    await page.getByText('Ask the administrator of your workspace for access.').waitFor()
    expect(await page.locator('data.amount').count()).toBe(0)
    await close()
  })

  test('a workspace of somebody else is not there', async () => {
    const { page, close } = await open({ as: 'carol', expected: /404/ })
    await page.goto('/w/demo-acme/settings/credits')
    await page.locator('main').waitFor()
    await expect.poll(() => page.locator('main').textContent()).toMatch(/permission|no such/i)
    expect(await page.locator('data.amount').count()).toBe(0)
    await close()
  })

  test('a balance above the allocation is shown as it is', async () => {
    const { page, close } = await open()
    await page.goto(`/w/${world.above}/settings/credits`)
    await page.locator(remaining).getByText('9,779,419').first().waitFor()
    await page.locator(remaining).getByText('18', { exact: true }).first().waitFor()
    expect(await exact(page, remaining)).toContain('9779419')
    await close()
  })

  test('names are text, whatever is in them', async () => {
    const { page, close } = await open()
    await page.goto(`/w/${world.plain}/campaigns`)
    await page.getByText('Leads & more <b>').first().waitFor()
    await page.getByText(longName).first().waitFor()
    await close()
  })
})

describe.skipIf(!stack.browser)('figures', () => {
  beforeAll(build)

  // What was sent (world.ts): 120 times 1.5 and 120 times 0.000001, 7, and 2.5 taken back.
  const used = '184.50012'
  const left = '999815.49988'

  for (const [locale, zone, written] of [
    ['en-US', 'America/New_York', '999,815.49988'],
    ['de-DE', 'Europe/Berlin', '999.815,49988'],
    ['hi-IN', 'Asia/Kolkata', '9,99,815.49988'],
  ] as const) {
    test(`are the oracle's and the API's in ${locale} and ${zone}`, async () => {
      const { page, close } = await open({ locale, zone })
      await page.goto(`/w/${world.plain}/settings/credits?preset=30d&zone=browser`)
      await page.locator(remaining).getByText(written).first().waitFor()
      const balance = await answer(`/workspaces/${world.plain}/balance`)
      expect(balance.remaining).toBe(left)
      expect((await exact(page, remaining))[0]).toBe(left)
      await expect.poll(async () => (await exact(page, trends))[0]).toBe(used)
      await expect.poll(() => exact(page, `${campaigns} tfoot`)).toContain(used)
      await close()
    })
  }

  test('move within two seconds of the event', async () => {
    const { page, close } = await open()
    await page.goto(`/w/${world.unused}/settings/credits`)
    const figure = page.locator(`${remaining} data.amount`).first()
    await figure.waitFor()
    await page
      .getByText(/Data through/)
      .first()
      .waitFor()
    await counted(world.unused)
    await use(world.unused, [{ campaign: 'cmp-1', credits: '0.5' }]) // the first one warms what only later ones should be timed on
    await expect.poll(() => figure.getAttribute('value')).toBe('-0.499999')
    const moves: Timed[] = []
    for (const [credits, after] of [
      ['0.25', '-0.749999'],
      ['0.125', '-0.874999'],
      ['0.0625', '-0.937499'],
    ] as const) {
      const move = async () => {
        await use(world.unused, [{ campaign: 'cmp-1', credits }]) // returns once Kafka has acknowledged
        const from = Date.now()
        await expect.poll(() => figure.getAttribute('value'), { interval: 20 }).toBe(after)
        return Date.now() - from
      }
      moves.push(await timed(page, move))
    }
    console.log(`from Kafka's acknowledgement to the page: ${times(moves)} ms (where nothing else runs)`)
    expect(Math.min(...moves.map(({ usual }) => usual))).toBeLessThan(2_000)
    await close()
  })
})
