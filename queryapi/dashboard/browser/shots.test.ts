// Pictures of every screen, for people to look at: SHOTS=1 make browser, then see browser/shots/.
import { beforeAll, describe, test } from 'vitest'
import { look, type Screen, screens, themed } from './screens'
import { open, shot, stack } from './stack'
import { build } from './world'

const themes = ['light', 'dark'] as const
const only = process.env.SHOTS ?? ''

describe.skipIf(!stack.browser || !only)('pictures', () => {
  beforeAll(build)

  const wanted = screens.filter(({ name }) => only === '1' || only.split(',').includes(name))
  test.each(wanted)('$name', async (screen: Screen) => {
    const { page, close } = await open({
      as: screen.as === undefined ? 'operator' : screen.as,
      reducedMotion: true,
      ...(screen.expected ? { expected: screen.expected } : {}),
    })
    await look(page, screen)
    for (const width of screen.name === 'credits' ? [1440, 360, 1920] : [1440, 360]) {
      await page.setViewportSize({ width, height: 900 })
      for (const colorScheme of themes) {
        await themed(page, colorScheme)
        await shot(page, `${screen.name}-${colorScheme}-${width}`)
      }
    }
    await close()
  })
})
