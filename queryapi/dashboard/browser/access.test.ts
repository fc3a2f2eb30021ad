import { describe, expect, test } from 'vitest'
import { answer, open, stack } from './stack'

describe.skipIf(!stack.browser)('access and changes of credits', () => {
  test('a key is made, shown once, good for what it may, and refused once revoked', async () => {
    const { page, close } = await open()
    await page.goto('/w/demo-globex/settings/access')
    const create = page.getByRole('button', { name: 'Create key' })
    await create.click()
    await page.keyboard.type('Browser test')
    await page.getByRole('checkbox', { name: /credits:read/ }).check()
    await page.keyboard.press('Enter')
    const key = (await page.locator('.secret').textContent()) ?? ''
    expect(key).toMatch(/^ck_/)
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'I have it' }).click()
    expect(await page.content()).not.toContain(key)
    const ask = () => fetch(`${stack.url}/v1/workspaces/demo-globex/balance`, { headers: { Authorization: `Bearer ${key}` } })
    expect((await ask()).status).toBe(200)
    await page.getByRole('button', { name: 'Revoke Browser test' }).click()
    // Cancel is what Enter does at first.
    await page.keyboard.press('Enter')
    expect((await ask()).status).toBe(200)
    await page.getByRole('button', { name: 'Revoke Browser test' }).click()
    await page.getByRole('button', { name: 'Revoke key' }).click()
    await expect.poll(async () => (await ask()).status).toBe(401)
    await expect.poll(() => create.evaluate((button) => button === document.activeElement)).toBe(true)
    await close()
  })

  test('a grant is added, counted, and voided', async () => {
    const { page, close } = await open()
    await page.goto('/w/demo-globex/settings/credits')
    await page.getByRole('button', { name: 'Add grant' }).click()
    await page.keyboard.press('Enter')
    await page.getByText('Say how many credits.').waitFor()
    await page.keyboard.type('0.000001')
    await page.getByText('Priority and id').click()
    await page.getByLabel('Priority', { exact: true }).fill('1000')
    const id = `browser-${process.pid}`
    await page.getByLabel('Grant id').fill(id)
    await page.keyboard.press('Enter')
    await page.getByText('Recorded, and counted in the balance.').waitFor()
    const grant = async () =>
      (await answer('/workspaces/demo-globex/balance')).grants.find((g: { grant_id: string }) => g.grant_id === id)
    expect(await grant()).toMatchObject({ credits: '0.000001', priority: 1000, class: 'paid', expires_at: null })
    await page.getByRole('button', { name: `Void ${id}`, exact: true }).click()
    await page.getByRole('button', { name: 'Void grant', exact: true }).click()
    await expect.poll(async () => (await grant()).status).toBe('voided')
    await close()
  })

  test('who may not change credits has no buttons for it, and workspaces are for operators', async () => {
    const { page, close } = await open({ as: 'alice' })
    await page.goto('/w/demo-acme/settings/credits')
    await page.getByRole('link', { name: 'View Credit History' }).waitFor()
    expect(await page.getByRole('button', { name: /Add grant|Adjust|Void/ }).count()).toBe(0)
    await page.goto('/workspaces')
    await page.getByText('This page is for operators').waitFor()
    expect(await page.getByRole('link', { name: 'Workspaces' }).count()).toBe(0)
    await close()
  })
})
