// What the page says when something is wrong, and that it mends by itself when
// that ends: nothing here reloads or clicks to recover.
import { connect, createServer, type Socket } from 'node:net'
import type { Page, Route } from 'playwright-core'
import { describe, test } from 'vitest'
import { answer, open, slower, stack } from './stack'
import { longTestTimeout, slowTimeout } from './timeouts'

const workspace = 'demo-acme'
const credits = `/w/${workspace}/settings/credits`
const everything = '**/v1/**'
const figures = '**/v1/workspaces/**'
const stream = '**/v1/workspaces/*/live'

/** said is for the page to say what is the matter: what it asks next is at most 30 s off. */
const said = { timeout: slowTimeout }
/** mended is for it to notice that the trouble is over, which takes as long. */
const mended = { timeout: slowTimeout }

/** What a browser itself writes about requests that failed. */
const failed = /Failed to load resource|ERR_/

const remaining = (page: Page) => page.locator('.remaining-big data.amount')
const amounts = (page: Page) => page.locator('data.amount')
const refuse = (route: Route) => route.abort('connectionrefused')

/** problem answers as the API does. */
const problem =
  (status: number, code: string, title: string, headers: Record<string, string> = {}) =>
  (route: Route) =>
    route.fulfill({
      status,
      contentType: 'application/problem+json',
      headers: { 'X-Request-Id': 'req-of-the-test', ...headers },
      body: JSON.stringify({ type: `/docs#${code}`, title, status, code, detail: `${title}.`, request_id: 'req-of-the-test' }),
    })

/** loaded waits until the three panels are filled and the stream is there. */
async function loaded(page: Page) {
  await remaining(page).waitFor(mended)
  await page.locator('.trends .trends-head data.amount').first().waitFor(mended)
  await page.locator('.campaign-row').first().waitFor(mended)
  await page.getByText(/^Data through/).waitFor(mended)
}

/** Line is a way to the server that can be cut: routes hold up only what is asked from then on, not a stream. */
type Line = { url: string; down: (is: boolean) => void; cut: () => void; close: () => void }

async function line(): Promise<Line> {
  const open = new Set<Socket>()
  let down = false
  const to = new URL(stack.url)
  const server = createServer((near) => {
    if (down) return near.destroy()
    const far = connect(Number(to.port), to.hostname)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one)
      one.pipe(other)
      one.on('error', () => {})
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const at = server.address()
  const port = at && typeof at === 'object' ? at.port : 0
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  const set = (is: boolean) => {
    down = is
    if (is) cut()
  }
  const close = () => {
    set(true)
    server.close()
  }
  return { url: `http://127.0.0.1:${port}`, down: set, cut, close }
}

/** behindLine is what `open` says of a page behind a line. */
const behindLine = /Failed to load resource|ERR_|request to another host: http:\/\/127\.0\.0\.1:/

/** took says how long something took. */
async function took(what: string, wait: Promise<unknown>) {
  const from = Date.now()
  await wait
  console.log(`${what}: ${((Date.now() - from) / 1000).toFixed(1)} s`)
}

/** Asked is a question of the page, by its own clock in milliseconds; answeredAt is null until the answer comes. */
type Asked = { askedAt: number; answeredAt: number | null }

/** asking keeps what the page asks of an address with a part, as the page has it: a test hears of it later or earlier. */
async function asking(page: Page, part: string): Promise<() => Promise<Asked[]>> {
  await page.addInitScript((part) => {
    const all: Asked[] = []
    Object.assign(window, { asked: all })
    const ask = window.fetch.bind(window)
    window.fetch = async (to, init) => {
      if (!(to instanceof Request ? to.url : String(to)).includes(part)) return ask(to, init)
      const one: Asked = { askedAt: performance.now(), answeredAt: null }
      all.push(one)
      const response = await ask(to, init)
      one.answeredAt = performance.now()
      return response
    }
  }, part)
  return () => page.evaluate(() => (window as unknown as { asked: Asked[] }).asked)
}

/** mostly waiting, so together; each has a window of its own. */
describe.skipIf(!stack.browser).concurrent('trouble', { timeout: longTestTimeout }, () => {
  test('a server that is down when the page is opened', async ({ expect }) => {
    const { page, close } = await open({ expected: failed })
    await page.route(everything, refuse)
    await page.goto(credits)
    await page.getByText('The server cannot be reached', { exact: true }).waitFor(said)
    await page.unroute(everything)
    await took('opened while the server was down, back after', loaded(page))
    expect(await page.locator('.state-error').count()).toBe(0)
    await close()
  })

  test('a server that goes down while the page is open', async ({ expect }) => {
    const { page, close } = await open({ expected: behindLine })
    const way = await line()
    await page.goto(way.url + credits)
    await loaded(page)
    way.down(true)
    await page.getByText(/live updates are off/).waitFor(said)
    await page
      .getByText(/The server cannot be reached\. The figures below are from before/)
      .first()
      .waitFor(said)
    expect(await remaining(page).count()).toBe(1)

    // What was not at hand says so as well, in place of what would never come.
    await page.getByRole('link', { name: 'View Credit History' }).click()
    await page.locator('.state-error').first().waitFor(said)
    way.down(false)
    await took(
      'server up again, history back after',
      page
        .locator('.state-error')
        .first()
        .waitFor({ state: 'detached', ...mended }),
    )
    await page.goBack()
    await loaded(page)
    await page
      .locator('.notice', { hasText: 'from before' })
      .first()
      .waitFor({ state: 'detached', ...mended })
    await page.getByText(/live updates are off/).waitFor({ state: 'detached', ...mended })
    await close()
    way.close()
  })

  test('a device that has no network', async () => {
    const { page, context, close } = await open({ expected: failed })
    await page.goto(credits)
    await loaded(page)
    await context.setOffline(true)
    await page.getByRole('link', { name: 'View Credit History' }).click()
    await page.getByText('The server cannot be reached', { exact: true }).first().waitFor(said)
    await context.setOffline(false)
    await took(
      'network back, history after',
      page
        .locator('.state-error')
        .first()
        .waitFor({ state: 'detached', ...mended }),
    )
    await page.locator('data.amount').first().waitFor(mended)
    await close()
  })

  test('answers that take 5 seconds hold their place', async ({ expect }) => {
    const { page, close } = await open()
    await page.addInitScript(() => {
      const kept = window as unknown as { shifts: number; moved: string[] }
      kept.shifts = 0
      kept.moved = []
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[])
          if (!entry.hadRecentInput) {
            kept.shifts += entry.value
            // biome-ignore lint/suspicious/noExplicitAny: not in the types yet
            for (const { node, previousRect: a, currentRect: b } of (entry as any).sources)
              kept.moved.push(`${node?.className || node?.nodeName}: ${a.y} and ${a.height} high to ${b.y} and ${b.height}`)
          }
      }).observe({ type: 'layout-shift', buffered: true })
    })
    let first = 0
    await page.route(figures, async (route) => {
      first ||= Date.now()
      const until = first + 5_000
      await new Promise((done) => setTimeout(done, Math.max(until - Date.now(), 0)))
      await route.continue().catch(() => {})
    })
    await page.goto(credits)
    await page.locator('.remaining .skeleton').first().waitFor()
    await page.locator('.trends .skeleton').first().waitFor()
    expect(await amounts(page).count()).toBe(0)
    await loaded(page)
    expect(Date.now() - first).toBeGreaterThan(4_900)
    await expect.poll(() => page.locator('.skeleton').count()).toBe(0)
    const { shifts, moved } = await page.evaluate(() => {
      const kept = window as unknown as { shifts: number; moved: string[] }
      return { shifts: kept.shifts, moved: kept.moved }
    })
    console.log(`layout shift with answers after 5 s: ${shifts.toFixed(4)}`)
    expect(shifts, moved.join('\n')).toBeLessThan(0.05)
    // Slow is not a wrong clock.
    expect(await page.getByText(/The clock of this device/).count()).toBe(0)
    await close()
  })

  test('a store that cannot be read', async ({ expect }) => {
    const { page, close } = await open({ expected: failed })
    await page.route(figures, problem(503, 'store_unavailable', 'The store is unavailable'))
    await page.goto(credits)
    await page.getByText('The figures cannot be read right now', { exact: true }).first().waitFor(said)
    await page.getByText('req-of-the-test').first().waitFor()
    expect(await amounts(page).count()).toBe(0)
    await page.unroute(figures)
    await took('store back after', loaded(page))
    await page
      .locator('.state-error')
      .first()
      .waitFor({ state: 'detached', ...mended })
    await close()
  })

  test('an answer that makes no sense takes nothing else away', async ({ expect }) => {
    const { page, close } = await open({ expected: /TypeError/ })
    const usage = '**/v1/workspaces/*/usage?*'
    await page.route(usage, (route) => route.fulfill({ json: { total: '1' } }))
    await page.goto(credits)
    await page.locator('.trends').getByText('Something went wrong on this page', { exact: true }).waitFor(said)
    await remaining(page).waitFor(said)
    await page.locator('.campaign-row').first().waitFor(said)
    await page.unroute(usage)
    await took('sense again, back after', loaded(page))
    expect(await page.locator('.state-error').count()).toBe(0)
    await close()
  })

  test('a server that asks to be left alone for a while is', async ({ expect }) => {
    const { page, close } = await open({ expected: failed })
    const wait = 4
    const asked = await asking(page, '/usage?')
    const usage = '**/v1/workspaces/*/usage?*'
    await page.route(usage, problem(429, 'rate_limited', 'Too many requests', { 'Retry-After': String(wait) }))
    await page.goto(credits)
    const trends = page.locator('.trends')
    await trends.getByText('Too many requests', { exact: true }).waitFor(said)
    await expect.poll(async () => (await asked()).length).toBeGreaterThan(2)
    const all = await asked()
    await page.unroute(usage)
    // From each answer to the next question; none if that did not wait for the answer.
    const waits = all.slice(1).map(({ askedAt }, i) => askedAt - (all[i]?.answeredAt ?? askedAt))
    console.log(`asked after 429 with Retry-After ${wait}: ${waits.map((ms) => (ms / 1000).toFixed(1)).join(', ')} s`)
    // The page counts whole milliseconds.
    for (const ms of waits) expect(ms).toBeGreaterThan(wait * 1000 - 1)
    await took('let in again after', loaded(page))
    await close()
  })

  test('a permission that is taken away takes its figures along', async ({ expect }) => {
    const { page, close } = await open({ as: 'alice', expected: behindLine })
    const way = await line()
    await page.goto(way.url + credits)
    await loaded(page)
    await page.route(figures, problem(403, 'forbidden', 'Not permitted'))
    // The server ends the stream of who may not see it any more within its heartbeat.
    way.cut()
    await page.getByText('You do not have permission to see this').first().waitFor(said)
    await expect.poll(() => amounts(page).count()).toBe(0)

    const who = '**/v1/me'
    await page.route(who, async (route) => {
      const response = await route.fetch()
      const me = await response.json()
      for (const entry of me.workspaces) entry.scopes = []
      await route.fulfill({ response, json: me })
    })
    await page.getByText('You do not have permission to see credits').waitFor(said)
    expect(await page.getByRole('navigation', { name: 'Settings' }).getByRole('link').allTextContents()).toEqual(['Access'])
    await page.unroute(who)
    await page.unroute(figures)
    await took('permission back after', loaded(page))
    await close()
    way.close()
  })

  test('a session that ends', async ({ expect }) => {
    const { page, close } = await open({ as: 'alice', expected: failed })
    await page.goto(`${credits}?group=action`)
    await loaded(page)
    await page.route(everything, problem(401, 'unauthorized', 'Not signed in'))
    await page.getByRole('heading', { level: 1, name: 'You are signed out' }).waitFor(said)
    const link = page.getByRole('link', { name: 'Sign in' })
    expect(await link.getAttribute('href')).toBe(`/auth/sign-in?return_to=${encodeURIComponent(`${credits}?group=action`)}`)
    expect(await amounts(page).count()).toBe(0)
    await page.unroute(everything)
    // As when one signs in beside it.
    await took('signed in again, back after', loaded(page))
    await close()
  })

  for (const hours of [3, -3]) {
    test(`a device whose clock is ${Math.abs(hours)} hours ${hours > 0 ? 'ahead' : 'behind'}`, async ({ expect }) => {
      const { page, close } = await open()
      await page.addInitScript((wrong) => {
        const now = Date.now.bind(Date)
        globalThis.Date = class extends Date {
          constructor(...given: unknown[]) {
            // @ts-expect-error: as Date takes them
            super(...(given.length === 0 ? [now() + wrong] : given))
          }
          static override now() {
            return now() + wrong
          }
        } as DateConstructor
      }, hours * 3_600_000)
      const ends: number[] = []
      page.on('request', (request) => {
        const url = new URL(request.url())
        const to = url.searchParams.get('to')
        if (url.pathname.endsWith('/usage') && to) ends.push(Date.parse(to) - Date.now())
      })
      await page.goto(`${credits}?preset=last_24_hours`)
      await loaded(page)
      await page.getByText(`The clock of this device is 3 hr ${hours > 0 ? 'ahead' : 'behind'}`).waitFor(said)
      // Never of hours, also where counting takes its time, and of seconds once it does not.
      expect(await page.locator('.freshness').textContent()).toMatch(/ through .*\(\d+ (sec|min) ago\)/)
      await page.getByText(/^Data through .*\(\d+ sec ago\)/).waitFor(said)
      // The last 24 hours end with the quarter of an hour that is under way, from the first question on.
      expect(ends.length).toBeGreaterThan(0)
      for (const end of ends) {
        expect(end).toBeGreaterThan(-5_000)
        expect(end).toBeLessThanOrEqual(905_000)
      }
      await close()
    })
  }

  test('a stream that is cut', async ({ expect }) => {
    const { page, close } = await open({ expected: behindLine })
    const way = await line()
    const asked = await asking(page, '/usage?')
    await page.goto(way.url + credits)
    await loaded(page)
    await page.route(stream, refuse)
    way.cut()
    await page.getByText(/live updates are off/).waitFor(said)
    const from = await page.evaluate(() => performance.now())
    // The server is there, the stream is not: figures are asked for every 15 s instead.
    const polled = async () => (await asked()).filter(({ askedAt }) => askedAt > from + 5_000)
    await expect.poll(async () => (await polled()).length).toBeGreaterThan(1)
    const [first, second] = (await polled()).map(({ askedAt }) => askedAt)
    // Twice that: one is left out while an answer is under way.
    expect((second ?? 0) - (first ?? 0)).toBeLessThan(30_000 * (await slower(page)))
    const fresh = /^Data through .*\(\d+ sec ago\), live updates are off/
    await page.locator('.freshness:not(.freshness-stale)', { hasText: fresh }).waitFor(said)
    await page.unroute(stream)
    await took('stream back after', page.getByText(/live updates are off/).waitFor({ state: 'detached', ...mended }))
    // And it moves the figures again.
    const before = await page.locator('.freshness time').getAttribute('datetime')
    await expect.poll(() => page.locator('.freshness time').getAttribute('datetime')).not.toBe(before)
    await close()
    way.close()
  })

  test('counting that is behind', async () => {
    const { page, close } = await open({ expected: failed })
    const { freshness } = await answer(`/workspaces/${workspace}/balance`)
    const old = (at: string) => new Date(Date.parse(at) - 300_000).toISOString()
    await page.route(figures, async (route) => {
      if (route.request().url().endsWith('/live')) {
        const now = { ...freshness, at: new Date().toISOString(), watermark: old(new Date().toISOString()) }
        const body = `retry: 1000\n\nevent: freshness\ndata: ${JSON.stringify({ freshness: now })}\n\n`
        return route.fulfill({ contentType: 'text/event-stream', body })
      }
      const response = await route.fetch().catch(() => null)
      if (!response) return
      const json = await response.json()
      if (json.freshness) json.freshness.watermark = old(json.freshness.at)
      return route.fulfill({ response, json }).catch(() => {})
    })
    await page.goto(credits)
    await page.getByText(/^Counting is 5 min.* behind\. The figures are right up to then/).waitFor(said)
    await page.getByText(/^Stale: data through/).waitFor()
    await remaining(page).waitFor()
    await page.unroute(figures)
    await took('caught up, notice gone after', page.getByText(/^Counting is/).waitFor({ state: 'detached', ...mended }))
    await page.getByText(/^Data through/).waitFor()
    await close()
  })
})
