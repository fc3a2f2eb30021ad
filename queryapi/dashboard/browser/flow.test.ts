// What the page shows is what was sent: the same figures by the page, by the API and by adding up the events, in three
// languages and three zones, while events come in by way of Kafka and once they have.
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decimal, micro, sum } from '../src/credits'
import { answer, cli, counted, exact, open, stack, use } from './stack'
import { longTestTimeout, slowTimeout } from './timeouts'

/** workspace is one to which only this file writes. */
const workspace = 'w-flow'
const granted = '1000000'

type Sent = { campaign: string; action: string; credits: string; time: string }

/** sent is all events in the order in which they were sent, and with it the oracle of every figure. */
const sent: Sent[] = []

/** make is an event of known, uneven credits; one in eleven takes some back. */
function make(i: number, time: number): Sent {
  // With every digit that there may be, and without zeros at the end, as the API writes them.
  const credits = decimal(i % 11 === 5 ? -10_000n * BigInt((i % 89) + 1) : BigInt(i % 7) * 1_000_000n + BigInt(i + 1))
  const campaign = ['cmp-a', 'cmp-b', ''][i % 3] ?? ''
  return { campaign, action: i % 2 === 0 ? 'lead_sourced' : 'phone_revealed', credits, time: new Date(time).toISOString() }
}

/** send hands events to Kafka by way of the API, which answers once they are acknowledged. */
async function send(events: Sent[]) {
  sent.push(...events)
  await use(
    workspace,
    events.map(({ campaign, ...event }) => ({ ...event, ...(campaign ? { campaign } : {}) })),
  )
}

const pace = 60

/** Flow sends an event every so often until it is stopped. */
function flow() {
  let on = true
  const done = (async () => {
    while (on) {
      await send([make(sent.length, Date.now())])
      await new Promise((next) => setTimeout(next, pace))
    }
  })()
  const stop = async () => {
    on = false
    await done
    await counted(workspace)
  }
  return { stop }
}

const panel = (name: string) => `section:has(> header h2:text-is("${name}"))`
const total = (events: Sent[]) => sum(events.map((event) => event.credits))
const left = () => decimal(micro(granted) - micro(total(sent)))

/** dayIn is the local day of an instant, by nothing that the page has. */
function dayIn(zone: string, time: string | number): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(
    new Date(time),
  )
}

/** lastDays are so many local days, today first. */
function lastDays(zone: string, n: number): string[] {
  const today = Date.parse(`${dayIn(zone, Date.now())}T12:00:00Z`)
  return Array.from({ length: n }, (_, i) => new Date(today - i * 86_400_000).toISOString().slice(0, 10))
}

/** usedBy is what each campaign used, the most first. */
const usedBy = () =>
  ['cmp-a', 'cmp-b'].map((id) => total(sent.filter((event) => event.campaign === id))).sort((a, b) => Number(b) - Number(a))
const unattributed = () => total(sent.filter((event) => event.campaign === ''))

/** soFar are the figures that there may be of what was counted from the n-th event on up to now. */
function soFar(n: number, of: (used: bigint) => bigint): Set<string> {
  const found = new Set<string>()
  let used = 0n
  for (const [i, { credits }] of sent.entries()) {
    if (i >= n) found.add(decimal(of(used)))
    used += micro(credits)
  }
  return found.add(decimal(of(used)))
}

/** once is a figure and those it adds up from, of one moment. */
const tableOnce = (page: Page) =>
  page.evaluate(() => {
    const values = (selector: string) =>
      [...document.querySelectorAll(`${selector} .cell-used data`)].map((one) => one.getAttribute('value') ?? '')
    return { rows: [...values('.campaign-row'), ...values('.campaign-rest')], total: values('.campaign-table tfoot').at(0) ?? '' }
  })

const settings = [
  ['en-US', 'America/New_York'], // changes its clocks
  ['de-DE', 'UTC'],
  ['hi-IN', 'Asia/Kolkata'], // half an hour off, and groups digits in another way
] as const

/** range has all that was sent. */
const range = 'preset=last_30_days&zone=browser'

describe.skipIf(!stack.browser)('from Kafka to the page', () => {
  beforeAll(async () => {
    for (const [id, name] of [
      ['cmp-a', 'Flow A'],
      ['cmp-b', 'Flow B'],
    ] as const)
      cli('campaign', workspace, id, '--name', name, '--status', 'ACTIVE', '--quota', '100000')
    await counted(workspace)
    const at = (days: number) => new Date(Math.floor(Date.now() / 60_000) * 60_000 + days * 86_400_000).toISOString()
    await answer(`/workspaces/${workspace}/grants`, {
      method: 'POST',
      headers: { 'Idempotency-Key': `${workspace}-g1` },
      body: JSON.stringify({ credits: granted, grant_id: 'g1', effective_at: at(-40), expires_at: at(18) }),
    })
    // Before and after midnight of each of the zones, on several days.
    const edges = [0, 5, 18.5].flatMap((hours) => [hours * 3_600_000 - 1, hours * 3_600_000])
    const midnight = Math.floor(Date.now() / 86_400_000) * 86_400_000
    const times = [1, 2, 3, 5, 8, 13, 21].flatMap((days) => edges.map((edge) => midnight - days * 86_400_000 + edge))
    await send(times.filter((time) => time < Date.now() - 3_600_000).map((time, i) => make(i, time)))
    await counted(workspace)
  })

  let running: ReturnType<typeof flow> | undefined
  afterAll(async () => running?.stop())

  for (const [locale, zone] of settings) {
    test(`every figure is the oracle's and the API's in ${locale} and ${zone}`, { timeout: longTestTimeout }, async () => {
      const { page, close } = await open({ locale, zone })
      const counted = sent.length
      running = flow()
      await moving(page, counted)
      await running.stop()
      running = undefined
      await credits(page, locale, zone)
      await campaigns(page)
      await campaign(page, zone)
      await history(page, zone)
      await close()
    })
  }
})

/** moving looks at figures while events come in: each is that of some moment, and no part is of another than its whole. */
async function moving(page: Page, before: number) {
  await page.goto(`/w/${workspace}/settings/credits?${range}`)
  const figure = page.locator('.remaining-big data.amount')
  await figure.waitFor()
  await page.locator('.campaign-row').first().waitFor()
  await page.locator('.trends-total data.amount').waitFor()
  const seen = new Set<string>()
  await expect
    .poll(
      async () => {
        const [remaining, used, table] = [
          (await figure.getAttribute('value')) ?? '',
          (await exact(page, '.trends-total'))[0] ?? '',
          await tableOnce(page),
        ]
        expect(soFar(before, (spent) => micro(granted) - spent)).toContain(remaining)
        expect(soFar(before, (spent) => spent)).toContain(used)
        expect(soFar(before, (spent) => spent)).toContain(table.total)
        expect(sum(table.rows)).toBe(table.total)
        return seen.add(remaining).size
      },
      { timeout: slowTimeout },
    )
    .toBeGreaterThan(4)
}

async function credits(page: Page, locale: string, zone: string) {
  await page.goto(`/w/${workspace}/settings/credits?${range}&bucket=1d&group=none&table=1`)
  const balance = () => answer(`/workspaces/${workspace}/balance`)
  await expect
    .poll(async () => (await exact(page, panel('Remaining Credits'))).slice(0, 3))
    .toEqual([left(), granted, total(sent)])
  expect(await balance()).toMatchObject({ remaining: left(), allocated: granted, used: total(sent) })
  const written = new Intl.NumberFormat(locale, { maximumFractionDigits: 6 }).format(left() as unknown as number)
  expect(await page.locator('.remaining-big').textContent()).toBe(written)

  // The second panel: each local day by itself, with the events that fell into it.
  const rows = () =>
    page
      .locator('.trends-table tbody tr')
      .evaluateAll((all) => all.map((row) => row.querySelector('data')?.getAttribute('value') ?? ''))
  const days = () => lastDays(zone, 30).map((day) => total(sent.filter(({ time }) => dayIn(zone, time) === day)))
  await expect.poll(async () => [await rows(), days()].map(String)).toEqual([String(days()), String(days())])
  const { from, to } = { from: await edge(page, 'from'), to: await edge(page, 'to') }
  const usage = await answer(`/workspaces/${workspace}/usage?${new URLSearchParams({ from, to, bucket: '1d', tz: zone })}`)
  expect(usage.series[0].points.map((point: { credits: string }) => point.credits).reverse()).toEqual(await rows())
  expect((await exact(page, '.trends-total'))[0]).toBe(total(sent))
  expect(usage.total).toBe(total(sent))

  // The third: campaigns by what they used, and the rest.
  const list = await answer(`/workspaces/${workspace}/campaigns?${new URLSearchParams({ from, to })}`)
  expect(list.items.map((item: { used: string }) => item.used)).toEqual(usedBy())
  await expect.poll(() => tableOnce(page)).toEqual({ rows: [...usedBy(), unattributed()], total: list.total.used })
  expect(list.total.used).toBe(total(sent))
}

/** edge is what the page asks the API for, which the address leaves to it. */
async function edge(page: Page, name: 'from' | 'to'): Promise<string> {
  const asked = await page.evaluate(() => performance.getEntriesByType('resource').map((entry) => entry.name))
  const last = asked.findLast((url) => /\/usage\?.*bucket=1d/.test(url))
  return new URL(last ?? '').searchParams.get(name) ?? ''
}

async function campaigns(page: Page) {
  await page.goto(`/w/${workspace}/campaigns?zone=browser`)
  await expect.poll(() => exact(page, '.headline')).toEqual([left(), total(sent)])
  await expect.poll(() => tableOnce(page)).toEqual({ rows: [...usedBy(), unattributed()], total: total(sent) })
}

async function campaign(page: Page, zone: string) {
  await page.goto(`/w/${workspace}/campaigns/cmp-a?${range}&table=1`)
  const own = sent.filter((event) => event.campaign === 'cmp-a')
  const used = total(own)
  await expect.poll(async () => (await exact(page, panel('Usage over time')))[0]).toBe(used)
  await expect.poll(async () => (await exact(page, '.quota-big'))[0]).toBe(used)
  const actions = ['lead_sourced', 'phone_revealed'].map((action) => total(own.filter((event) => event.action === action)))
  await expect.poll(async () => (await exact(page, '.action-table')).toSorted()).toEqual(actions.toSorted())
  const newest = own.toSorted((a, b) => Date.parse(b.time) - Date.parse(a.time)).slice(0, 8)
  await expect.poll(() => exact(page, '.recent-table')).toEqual(newest.map((event) => event.credits))
  const api = await answer(`/workspaces/${workspace}/campaigns/cmp-a?${new URLSearchParams({ tz: zone })}`)
  expect(api.quota_used).toBe(used)
}

type Item = { type: string; at: string; campaign_id: string | null; change: string; credits: string; balance_after: string }

/** log is the change and the balance of every row. */
const log = (page: Page) =>
  page
    .locator('.log-row')
    .evaluateAll((rows) =>
      rows.map((row) => [...row.querySelectorAll('data')].map((figure) => figure.getAttribute('value') ?? '')),
    )

async function history(page: Page, zone: string) {
  for (const view of ['grouped', 'events']) {
    await page.goto(`/w/${workspace}/settings/credits/history?view=${view}&zone=browser`)
    const { items }: { items: Item[] } = await answer(
      `/workspaces/${workspace}/history?${new URLSearchParams({ view, tz: zone, limit: '100' })}`,
    )
    await expect.poll(() => log(page)).toEqual(items.map((item) => [item.change, item.balance_after]))
    expect(items[0]?.balance_after).toBe(left())
    const used = items.filter((item) => item.type === 'consumption')
    if (view === 'events') {
      const newest = sent.toSorted((a, b) => Date.parse(b.time) - Date.parse(a.time)).slice(0, used.length)
      expect(used.map((item) => item.credits)).toEqual(newest.map((event) => event.credits))
      continue
    }
    const group = (day: string, campaign: string) => `${day} ${campaign}`
    const by = new Map<string, string>()
    for (const { time, campaign, credits } of sent) {
      const key = group(dayIn(zone, time), campaign)
      by.set(key, sum([by.get(key) ?? '0', credits]))
    }
    const shown = new Map(used.map((item) => [group(dayIn(zone, item.at), item.campaign_id ?? ''), item.credits]))
    expect(shown.size).toBe(used.length)
    expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(by))
  }
}
