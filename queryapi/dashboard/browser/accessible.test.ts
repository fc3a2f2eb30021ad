// The page for people who do not point.
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { still } from './screens'
import { answer, open, pressDownTo, stack } from './stack'
import { build, world } from './world'

type Stop = { name: string; tag: string; role: string; seen: boolean }

/** stop is where the keyboard is, and whether one sees that it is there. */
function stop(page: Page): Promise<Stop> {
  return page.evaluate(async () => {
    const at = document.activeElement as HTMLElement
    const labels = [...((at as HTMLInputElement).labels ?? [])].map((label) => label.textContent)
    const name = at.getAttribute('aria-label') ?? (labels.length > 0 ? labels.join(' ') : at.textContent)
    const outlined = (element: Element | null | undefined) => {
      if (!element) return false
      const { outlineStyle, outlineWidth } = getComputedStyle(element)
      return outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 1
    }
    const seen = () => {
      const box = at.getBoundingClientRect()
      const inside = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth
      // A part of a date is marked by its ground.
      const filled = at.matches('[data-focused]') && getComputedStyle(at).backgroundColor !== 'rgba(0, 0, 0, 0)'
      return inside && (outlined(at) || outlined(at.closest('label')) || filled)
    }
    // What has focus is drawn so once the page has been rendered anew: in the
    // next frame, or a few later when the machine is busy.
    for (let frame = 0; frame < 2 || (frame < 30 && !seen()); frame++) await new Promise(requestAnimationFrame)
    return {
      name: (name ?? '').trim(),
      tag: at.tagName.toLowerCase(),
      role: at.getAttribute('role') ?? '',
      seen: seen(),
    }
  })
}

/** patience is how many stops there may be before the one that is looked for. */
const patience = 120

/** tab goes on by Tab alone to what is called so; it fails where one would not see where one is. */
async function tab(page: Page, tag: string, name: RegExp): Promise<Stop> {
  const passed: string[] = []
  const unseen: string[] = []
  for (let i = 0; i < patience; i++) {
    await page.keyboard.press('Tab')
    const at = await stop(page)
    if (!at.seen && at.tag !== 'body') unseen.push(`${at.tag} "${at.name}"`)
    passed.push(`${at.tag} "${at.name.slice(0, 40)}"`)
    if (at.tag === tag && name.test(at.name)) {
      expect(unseen, 'stops at which focus is not seen').toEqual([])
      return at
    }
  }
  throw new Error(`Tab does not come to ${tag} ${name}: ${passed.join(', ')}`)
}

/** table reads a file of comma-separated values of which no field has a line break. */
function table(path: string): Record<string, string>[] {
  const lines = readFileSync(path, 'utf8')
    .replace(/^\uFEFF/, '')
    .trim()
    .split(/\r?\n/)
  const fields = (line: string) =>
    [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
      ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
    )
  const [head = [], ...rows] = lines.map(fields)
  return rows.map((row) => Object.fromEntries(head.map((key, i) => [key, row[i] ?? ''])))
}

describe.skipIf(!stack.browser)('by keyboard alone', () => {
  beforeAll(build)

  test('the campaign that used most last week is found, and its history exported', async () => {
    const { page, close } = await open({ reducedMotion: true })
    await page.goto(`/w/${world.plain}/settings/credits`)
    await page.getByRole('heading', { name: 'Usage by Campaign' }).waitFor()
    await still(page)

    await tab(page, 'select', /^Range$/)
    await pressDownTo(page, 'last_7_days')
    await still(page)

    await tab(page, 'button', /^Credits used$/)
    const order = () => page.locator('.campaign-table th.cell-used').first().getAttribute('aria-sort')
    for (let i = 0; i < 2; i++) {
      const before = await order()
      if (before === 'descending') break
      await page.keyboard.press('Enter')
      // Or the next key might turn it once more.
      await expect.poll(order).not.toBe(before)
    }
    expect(await order()).toBe('descending')
    await still(page)

    // cmp-leads has two thirds of the events (world.ts).
    expect((await tab(page, 'a', /\S/)).name).toBe('Leads & more <b>')
    await page.keyboard.press('Enter')
    await page.waitForURL(`**/w/${world.plain}/campaigns/cmp-leads*`)
    await page.getByRole('heading', { level: 1, name: 'Leads & more <b>' }).waitFor()
    await page.getByRole('link', { name: 'All history of this campaign' }).waitFor()
    await still(page)

    await tab(page, 'a', /^All history of this campaign$/)
    await page.keyboard.press('Enter')
    await page.waitForURL('**/settings/credits/history?*')
    await page.getByRole('heading', { name: 'Entries' }).waitFor()
    await still(page)

    await tab(page, 'button', /^Export$/)
    await page.keyboard.press('Enter')
    await page.getByRole('dialog', { name: 'Export' }).waitFor()
    await tab(page, 'button', /^Download$/)
    const arriving = page.waitForEvent('download')
    await page.keyboard.press('Enter')
    const file = await arriving
    expect(file.suggestedFilename()).toMatch(/\.csv$/)

    const rows = table(await file.path())
    // 160 of the 240 events, and a refund.
    expect(rows.length).toBe(161)
    expect(new Set(rows.map((row) => row.campaign_id))).toEqual(new Set(['cmp-leads']))
    const { items } = await answer(`/workspaces/${world.plain}/history?view=events&campaign_id=cmp-leads&limit=200`)
    expect(rows.map((row) => row.entry_id)).toEqual(items.map((item: { entry_id: string }) => item.entry_id))
    await close()
  })
})
