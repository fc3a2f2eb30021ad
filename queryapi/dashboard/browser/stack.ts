// The whole of Drawdown for tests in a browser: `drawdown up --demo` with data
// and ports of its own, and workspaces beside the demo whose every figure is
// known (world.ts). Writers of tests use `open` and what it returns:
//
//   const { page, close } = await open({ as: 'alice' })
//   await page.goto('/w/demo-acme/settings/credits')
//
// `close` fails the test if the page broke its Content-Security-Policy, wrote an
// error to the console or asked another host for anything. Pass `expected` for
// errors that the test causes itself.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { expect, inject, vi } from 'vitest'
import { waitTimeout } from './timeouts'

/** What setup.ts provides. */
export type Stack = {
  /** Where the page is, without a slash at the end. */
  url: string
  /** Bearer token of every scope on every workspace. */
  token: string
  /** Folder of the stack's data. */
  data: string
  /** Path of Kafka, for `drawdown simulate` and others. */
  kafka: string
  /** Path of the browser; empty: there is none. */
  browser: string
  /** Path of bin/drawdown. */
  drawdown: string
}

declare module 'vitest' {
  interface ProvidedContext {
    stack: Stack
  }
}

export const stack = inject('stack')

/** Who may sign in, in the order of the development issuer's choice. */
const people = ['alice', 'bob', 'carol', 'operator'] as const
export type Person = (typeof people)[number]

let browser: Promise<Browser> | undefined
const signedIn = new Map<Person, Promise<Awaited<ReturnType<BrowserContext['storageState']>>>>()

function launch() {
  browser ??= chromium.launch({ executablePath: stack.browser, args: ['--no-sandbox'] })
  return browser
}

let keeping: Promise<Browser> | undefined

/** launchKeeping is a browser that keeps pages that are left, to bring them back as they were: playwright's does not. */
function launchKeeping() {
  keeping ??= chromium.launch({
    executablePath: stack.browser,
    args: ['--no-sandbox'],
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  })
  return keeping
}

/** cli runs drawdown against the stack. */
export function cli(...args: string[]): string {
  return execFileSync(stack.drawdown, args, {
    encoding: 'utf8',
    env: { ...process.env, DRAWDOWN_DATA: stack.data, DRAWDOWN_KAFKA_BROKERS: stack.kafka, DRAWDOWN_LOG_LEVEL: 'error' },
  })
}

async function signIn(person: Person) {
  const context = await (await launch()).newContext()
  context.setDefaultTimeout(waitTimeout)
  const page = await context.newPage()
  const link = cli('sign-in-link').match(/http\S+/)?.[0]
  if (!link) throw new Error('drawdown sign-in-link printed no link')
  await page.goto(link)
  await page.click(`button[value="${people.indexOf(person)}"]`)
  await page.waitForURL(`${stack.url}/**`)
  await page.waitForSelector('nav')
  const state = await context.storageState()
  await context.close()
  return state
}

export type Options = {
  /** Who is signed in; null: nobody. */
  as?: Person | null
  width?: number
  height?: number
  theme?: 'light' | 'dark'
  locale?: string
  /** Zone of the device. */
  zone?: string
  reducedMotion?: boolean
  /** With a session of its own, which the test may end. */
  fresh?: boolean
  /** In a browser that keeps pages that are left. */
  kept?: boolean
  /** Pixels of the device in one of the page. */
  scale?: number
  /** What the page may say about what the test does to it. */
  expected?: RegExp
}

/** Opened is a page and what was noticed of it. */
export type Opened = { page: Page; context: BrowserContext; problems: string[]; close: () => Promise<void> }

/** open opens a new browser window of a person. */
export async function open(options: Options = {}): Promise<Opened> {
  const { as = 'operator', width = 1440, height = 900, theme = 'light', locale = 'en-US', zone = 'UTC', expected } = options
  if (as !== null && !options.fresh && !signedIn.has(as)) signedIn.set(as, signIn(as))
  const state = as === null ? undefined : await (options.fresh ? signIn(as) : signedIn.get(as))
  const context = await (await (options.kept ? launchKeeping() : launch())).newContext({
    baseURL: stack.url,
    viewport: { width, height },
    colorScheme: theme,
    locale,
    timezoneId: zone,
    reducedMotion: options.reducedMotion ? 'reduce' : 'no-preference',
    deviceScaleFactor: options.scale ?? 1,
    ...(state ? { storageState: state } : {}),
  })
  context.setDefaultTimeout(waitTimeout)
  const page = await context.newPage()
  const problems: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('request', (request) => {
    const to = request.url()
    if (!to.startsWith(stack.url) && !to.startsWith('data:') && !to.startsWith('blob:'))
      problems.push(`request to another host: ${to}`)
  })
  const close = async () => {
    // An answer that a test still rewrites has nobody to go to any more.
    await page.unrouteAll({ behavior: 'ignoreErrors' })
    await context.close()
    expect(problems.filter((problem) => !expected?.test(problem))).toEqual([])
  }
  return { page, context, problems, close }
}

/** answer asks the API directly, as the oracle of what the page shows. */
// biome-ignore lint/suspicious/noExplicitAny: tests look at what they know is there
export async function answer(path: string, init: RequestInit = {}): Promise<any> {
  const response = await fetch(`${stack.url}/v1${path}`, {
    ...init,
    headers: {
      Authorization: `Bearer ${stack.token}`,
      ...(init.body ? { 'Content-Type': 'application/json' } : {}),
      ...init.headers,
    },
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response.status === 204 ? undefined : response.json()
}

let sent = 0

/** use sends events of a workspace by way of Kafka; it returns when they are acknowledged. */
export async function use(workspace: string, events: { campaign?: string; credits: string; time?: string; action?: string }[]) {
  const batch = events.map((event) => ({
    specversion: '1.0',
    id: `browser-${process.pid}-${Date.now()}-${sent++}`,
    source: '/browser',
    type: 'credits.consumed',
    time: event.time ?? new Date().toISOString(),
    data: {
      workspace_id: workspace,
      ...(event.campaign ? { campaign_id: event.campaign } : {}),
      credits: event.credits,
      ...(event.action ? { action: event.action } : {}),
    },
  }))
  for (let i = 0; i < batch.length; i += 1000) {
    await answer(`/workspaces/${workspace}/events`, { method: 'POST', body: JSON.stringify(batch.slice(i, i + 1000)) })
  }
}

/** counted waits until everything that was accepted so far is in the figures of a workspace. */
export async function counted(workspace: string) {
  const from = Date.now()
  await vi.waitUntil(
    async () => {
      const response = await fetch(`${stack.url}/v1/workspaces/${workspace}/balance`, {
        headers: { Authorization: `Bearer ${stack.token}` },
      })
      if (!response.ok) return false
      const { freshness } = await response.json()
      return Date.parse(freshness.watermark) > from
    },
    { timeout: waitTimeout, interval: 100 },
  )
}

/** exact is what the page shows of amounts within a place, as the API's strings. */
export function exact(page: Page, within: string): Promise<string[]> {
  return page.locator(`${within} data.amount`).evaluateAll((all) => all.map((one) => one.getAttribute('value') ?? ''))
}

/**
 * pressDownTo goes down the select that has focus by the keyboard alone, until it is at a preset and the address says
 * so. Before the next key it waits until both have taken the last one: who looks too early goes too far.
 */
export async function pressDownTo(page: Page, wanted: string) {
  const chosen = () =>
    page.evaluate(() => ({
      value: (document.activeElement as HTMLSelectElement).value,
      preset: new URLSearchParams(location.search).get('preset'),
    }))
  // No list has more presets than that.
  for (let i = 0; i < 20; i++) {
    const before = await chosen()
    if (before.value === wanted) break
    await page.keyboard.press('ArrowDown')
    await expect.poll(chosen).toSatisfy(({ value, preset }) => value !== before.value && preset === value)
  }
  await expect.poll(() => new URL(page.url()).searchParams.get('preset')).toBe(wanted)
}

/** usualLoop is what the calibrating loop below takes on the machine of the claims, in milliseconds. */
const usualLoop = 20

/** slower is how many times slower than usual a loop of known work is in the page just now; at least 1. */
export async function slower(page: Page): Promise<number> {
  const times = await page.evaluate(() => {
    const loop = () => {
      const from = performance.now()
      let sum = 0
      for (let i = 0; i < 4_000_000; i++) sum = (sum * 31 + i) % 1_000_003
      return { took: performance.now() - from, sum }
    }
    return Array.from({ length: 7 }, () => loop().took).sort((a, b) => a - b)
  })
  return Math.max((times[3] ?? 0) / usualLoop, 1)
}

/** Timed is how long something took by the clock, and how long it would have where nothing else runs, in milliseconds. */
export type Timed = { took: number; usual: number }

/** timed takes the time of something, and how slow the machine is right before and after it: the slower of both counts. */
export async function timed(page: Page, what: () => Promise<number>): Promise<Timed> {
  const before = await slower(page)
  const took = await what()
  return { took, usual: took / Math.max(before, await slower(page)) }
}

/** times writes what was timed, for the log. */
export const times = (all: Timed[]) => all.map(({ took, usual }) => `${took.toFixed(0)} (${usual.toFixed(0)})`).join(', ')

/** shots is where screenshots go. */
export const shots = join(import.meta.dirname, 'shots')

/** tallest is as much of a page as anybody looks through, in pixels. */
const tallest = 5_000

/** shot keeps a picture of a page; of a dialog, which has nothing below it, what the window shows. */
export async function shot(page: Page, name: string) {
  if (!existsSync(shots)) mkdirSync(shots, { recursive: true })
  const { modal, width, height } = await page.evaluate(() => ({
    modal: document.querySelector('dialog:modal') !== null,
    width: innerWidth,
    height: document.documentElement.scrollHeight,
  }))
  const whole = { fullPage: true, clip: { x: 0, y: 0, width, height: Math.min(height, tallest) } }
  await page.screenshot({ path: join(shots, `${name}.png`), animations: 'disabled', ...(modal ? {} : whole) })
}

/** axe returns what is wrong with a page for people who cannot see, hear or point. */
export async function axe(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(join(import.meta.dirname, '../node_modules/axe-core/axe.min.js'), 'utf8'))
  return page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: it was just put there
    const { violations } = await (window as any).axe.run(document, { resultTypes: ['violations'] })
    // biome-ignore lint/suspicious/noExplicitAny: axe's own result
    return violations.flatMap((v: any) => v.nodes.map((n: any) => `${v.id}: ${n.target.join(' ')}: ${n.failureSummary}`))
  })
}
