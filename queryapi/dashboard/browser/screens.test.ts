// One visit of every screen: axe finds nothing, nothing is wider than the page,
// and there are pictures for people to look at, in browser/shots/. SHOTS=credits,many
// visits these alone. PICTURES=1 writes those of the README (make pictures).
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { look, type Screen, screens, themed } from './screens'
import { axe, open, shot, shots, stack } from './stack'
import { longTestTimeout } from './timeouts'
import { build } from './world'

const only = process.env.SHOTS?.split(',')
const wanted = screens.filter(({ name }) => !only || only.includes(name))

/** heights are those of a laptop and of a phone. */
const heights = (width: number) => (width < 600 ? 740 : 900)

/** overflow is by how many pixels what is shown is wider than the page, which leaves room for a scrollbar. */
const overflow = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - document.body.offsetWidth)

const visit = (screen: Screen) =>
  open({
    as: screen.as === undefined ? 'operator' : screen.as,
    // Colours are looked at, not colours on their way to others.
    reducedMotion: true,
    scale: screen.scale ?? 1,
    ...(screen.expected ? { expected: screen.expected } : {}),
  })

/** themesOf a screen; paper is white, and forced colours are what they are. */
const themesOf = ({ medium }: Screen) => (medium === 'print' ? (['light'] as const) : (['light', 'dark'] as const))

describe.skipIf(!stack.browser)('every screen', () => {
  beforeAll(build)
  afterAll(() => console.log(`pictures of ${wanted.length} screens: ${shots}`))

  test.each(wanted)(
    '$name has nothing that axe finds, and is in pictures',
    async (screen: Screen) => {
      const { page, close } = await visit(screen)
      if (screen.medium) await page.emulateMedia(screen.medium === 'print' ? { media: 'print' } : { forcedColors: 'active' })
      await look(page, screen)
      const found: Record<string, unknown> = {}
      const clean: Record<string, unknown> = {}
      const widths = screen.widths ?? [1440, 360]
      for (const [i, width] of widths.entries()) {
        await page.setViewportSize({ width, height: heights(width) })
        for (const theme of themesOf(screen)) {
          await themed(page, theme, screen.loading)
          await shot(page, `${screen.name}-${theme}-${width}`)
          // A phone has the same colours: one theme of it is enough.
          if (i === 0 || (screen.main && width < 600 && theme === 'dark')) {
            found[`axe ${theme} ${width}`] = await axe(page)
            clean[`axe ${theme} ${width}`] = []
          }
        }
        found[`overflow ${width}`] = await overflow(page)
        clean[`overflow ${width}`] = 0
      }
      expect(found).toEqual(clean)
      await close()
    },
    // Up to seven pictures and three looks.
    longTestTimeout,
  )

  test('axe finds what is wrong', async () => {
    const { page, close } = await open()
    await look(page, screens[0] as Screen)
    await page.evaluate(() => document.querySelector('main h1')?.insertAdjacentHTML('afterend', '<button></button>'))
    expect(await axe(page)).toEqual([expect.stringContaining('button-name')])
    await close()
  })
})

/** docs is where the README looks for pictures. */
const docs = join(import.meta.dirname, '../../../docs')
/** mostBytes is for a picture that comes with every clone, in bytes. */
const mostBytes = 300_000

describe.skipIf(!stack.browser || !process.env.PICTURES)('the pictures of the README', () => {
  test('are of the demo, and small', async () => {
    const screen = screens.find(({ name }) => name === 'credits') as Screen
    const { page, close } = await visit(screen)
    // As high as the three panels, so that it begins and ends as a window does.
    await page.setViewportSize({ width: 1440, height: 1800 })
    await look(page, screen)
    for (const [theme, name] of [
      ['light', 'credits'],
      ['dark', 'credits-dark'],
    ] as const) {
      await themed(page, theme)
      const path = join(docs, `${name}.png`)
      await page.screenshot({ path, animations: 'disabled' })
      expect(statSync(path).size).toBeLessThan(mostBytes)
    }
    await close()
  })
})
