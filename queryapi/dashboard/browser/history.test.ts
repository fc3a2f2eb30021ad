import { readFileSync } from 'node:fs'
import { parseDate } from '@internationalized/date'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { micro } from '../src/credits'
import { answer, open, pressDownTo, stack } from './stack'

/** tabTo goes to a control by the keyboard alone. */
async function tabTo(page: Page, name: RegExp, key = 'Tab') {
  for (let i = 0; i < 100; i++) {
    await page.keyboard.press(key)
    const at = await page.evaluate(() => {
      const element = document.activeElement as HTMLInputElement | null
      return element?.getAttribute('aria-label') || element?.labels?.[0]?.textContent || element?.textContent || ''
    })
    if (name.test(at)) return
  }
  throw new Error(`${name} is not reached by ${key}`)
}

/** lastWeek is its first day and its last, by nothing that the page has. */
function lastWeek(zone: string, weekStart: string): [string, string] {
  const today = new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' }).format()
  const noon = Date.parse(`${today}T12:00:00Z`)
  const first = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'].indexOf(weekStart)
  const since = (new Date(noon).getUTCDay() - first + 7) % 7
  const day = (back: number) => new Date(noon - back * 86_400_000).toISOString().slice(0, 10)
  return [day(since + 7), day(since + 1)]
}

describe.skipIf(!stack.browser)('the credit history', () => {
  test('the campaign that used most last week is found and exported by the keyboard alone', async () => {
    const { page, close } = await open()
    await page.goto('/w/demo-acme/settings/credits')
    await page.getByRole('link', { name: 'View Credit History' }).waitFor()
    await tabTo(page, /^View Credit History$/)
    await page.keyboard.press('Enter')
    await page.locator('.log-row').first().waitFor()
    await tabTo(page, /^Range$/)
    // Letter by letter the list would take a slow machine's pauses for new words.
    await pressDownTo(page, 'last_week')
    const { workspaces } = await answer('/me')
    const { time_zone: zone, week_start } = workspaces.find((w: { workspace_id: string }) => w.workspace_id === 'demo-acme')
    const fields = async () => [await page.locator('#log-from').inputValue(), await page.locator('#log-to').inputValue()]
    await expect.poll(fields).toEqual(lastWeek(zone, week_start))
    const [from = '', to = ''] = await fields()
    await page.getByRole('combobox', { name: 'Campaign' }).waitFor()
    await tabTo(page, /^Campaign$/)
    await page.keyboard.press('ArrowDown')
    // The list is by what was used in the range: it is there once the first one is.
    await page.locator('[role=option]').nth(1).waitFor()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.waitForURL(/campaign=/)
    const campaign = new URL(page.url()).searchParams.get('campaign')
    await tabTo(page, /^Export$/, 'Shift+Tab')
    await page.keyboard.press('Enter')
    await tabTo(page, /^Download$/)
    const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')])
    const lines = readFileSync(await download.path(), 'utf8')
      .trim()
      .split('\n')
      .slice(1)

    // The oracle: the same days, asked of the API in the zone of the workspace.
    const begin = parseDate(from).toDate(zone).toISOString()
    const end = parseDate(to).add({ days: 1 }).toDate(zone).toISOString()
    const used = await answer(`/workspaces/demo-acme/campaigns?sort=used&limit=1&from=${begin}&to=${end}`)
    expect(campaign).toBe(used.items[0].campaign_id)
    const rows = await answer(
      `/workspaces/demo-acme/history?limit=1000&from=${begin}&to=${end}&campaign_id=${campaign}&type=consumption`,
    )
    const exported = lines.filter((line) => line.startsWith('usage:'))
    expect(exported.map((line) => line.split(',')[5])).toEqual(
      rows.items.map((row: { balance_after: string }) => row.balance_after),
    )
    expect(exported.length).toBeGreaterThan(0)
    await close()
  })

  test('every balance is the one before and the change, while events come in', async () => {
    const { page, close } = await open()
    await page.goto('/w/demo-acme/settings/credits/history?view=events')
    await page.locator('.log-row').first().waitFor()
    const read = () =>
      page
        .locator('.log-row')
        .evaluateAll((rows) =>
          rows.map((row) => [...row.querySelectorAll('data')].map((figure) => figure.getAttribute('value') ?? '')),
        )
    const first = await read()
    // Something new has come in by itself.
    await expect.poll(async () => (await read())[0]?.[1] !== first[0]?.[1]).toBe(true)
    const rows = await read()
    expect(rows.length).toBeGreaterThanOrEqual(100)
    for (const [i, [change = '', balance = '']] of rows.entries()) {
      const older = rows[i + 1]?.[1]
      if (older !== undefined) expect(micro(balance)).toBe(micro(older) + micro(change))
    }
    await close()
  })
})
