import { describe, expect, test } from 'vitest'
import { open, stack } from './stack'

describe.skipIf(!stack.browser)('the frame', () => {
  test('signing in lands on the campaigns of the workspace', async () => {
    const { page, close } = await open({ as: 'alice' })
    await page.goto('/')
    await page.waitForURL('**/w/demo-acme/campaigns')
    await page.getByRole('heading', { level: 1, name: 'Campaigns' }).waitFor()
    await close()
  })

  test('who is not signed in is asked to, and comes back to where he was going', async () => {
    const { page, close } = await open({ as: null, expected: /401/ })
    await page.goto('/w/demo-acme/settings/credits?group=action')
    const link = page.getByRole('link', { name: 'Sign in' })
    await link.waitFor()
    expect(await link.getAttribute('href')).toBe(
      `/auth/sign-in?return_to=${encodeURIComponent('/w/demo-acme/settings/credits?group=action')}`,
    )
    await close()
  })

  test('the policy is strict, and an unknown path says so', async () => {
    const { page, close } = await open()
    const response = await page.goto('/w/demo-acme/nowhere')
    expect(response?.headers()['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    await page.getByRole('heading', { name: 'Not found' }).waitFor()
    await close()
  })
})
