// Rules that two people change, and what the page says when one fires.
import { beforeAll, describe, expect, test } from 'vitest'
import { answer, axe, cli, counted, open, stack, use } from './stack'
import { slowTimeout } from './timeouts'

/** workspace is one to which only this file writes. */
const workspace = 'w-alerting'
const alerts = `/w/${workspace}/settings/alerts`

type Rule = { rule_id: string; version: number; name: string; enabled: boolean; params: { percent?: number; credits?: string } }

const rules = async (): Promise<Rule[]> => (await answer(`/workspaces/${workspace}/alerts/rules`)).items

async function make(name: string, params: Rule['params']): Promise<Rule> {
  return answer(`/workspaces/${workspace}/alerts/rules`, {
    method: 'POST',
    body: JSON.stringify({ kind: 'balance_below', name, enabled: true, params, webhooks: [] }),
  })
}

describe.skipIf(!stack.browser)('alerts', () => {
  beforeAll(async () => {
    cli('campaign', workspace, 'cmp-1', '--name', 'One', '--status', 'ACTIVE', '--no-quota')
    await counted(workspace)
    await answer(`/workspaces/${workspace}/grants`, {
      method: 'POST',
      headers: { 'Idempotency-Key': `${workspace}-g1` },
      body: JSON.stringify({ credits: '1000', grant_id: 'g1', effective_at: new Date(Date.now() - 86_400_000).toISOString() }),
    })
    await counted(workspace)
  })

  test('a rule that somebody else changed meanwhile keeps what was edited here', async () => {
    const { rule_id } = await make('Both of us', { percent: 10 })
    const { page, close } = await open({ expected: /409/ })
    await page.goto(`${alerts}?rule=${rule_id}`)
    await page.getByRole('button', { name: 'Edit', exact: true }).click()
    const form = page.getByRole('dialog', { name: 'Edit rule' })
    await form.getByLabel('Name').fill('Mine')
    // Somebody else, meanwhile, from elsewhere.
    await answer(`/workspaces/${workspace}/alerts/rules/${rule_id}`, {
      method: 'PUT',
      headers: { 'If-Match': '"1"' },
      body: JSON.stringify({ kind: 'balance_below', name: 'Theirs', enabled: true, params: { percent: 25 }, webhooks: [] }),
    })
    await form.getByRole('button', { name: 'Save' }).click()
    await form.getByText(/Somebody changed it meanwhile/).waitFor()
    expect((await rules()).find((rule) => rule.rule_id === rule_id)).toMatchObject({ name: 'Theirs', version: 2 })
    await form.getByRole('button', { name: 'Reload' }).click()
    await form.getByText('Taken over: the threshold.').waitFor()
    await form.getByText('Changed by both, so that yours will replace theirs: the name.').waitFor()
    expect(await form.getByLabel('Name').inputValue()).toBe('Mine')
    expect(await axe(page)).toEqual([])
    await form.getByRole('button', { name: 'Save' }).click()
    await form.waitFor({ state: 'detached' })
    expect((await rules()).find((rule) => rule.rule_id === rule_id)).toMatchObject({
      name: 'Mine',
      version: 3,
      params: { percent: 25 },
    })
    await close()
  })

  test('a chart shows where rules fire, and the page says it when one does, wherever one is', async () => {
    await make('Half is gone', { credits: '500' })
    const { page, close } = await open()
    await page.goto(`/w/${workspace}/settings/credits?view=cumulative&zone=utc`)
    await page.locator('.remaining-big data[value="1000"]').waitFor()
    await use(workspace, [{ campaign: 'cmp-1', credits: '400' }])
    // 500 are left when 500 are used.
    const level = page.locator('.level', { hasText: 'Alert: Half is gone' })
    await expect.poll(() => level.textContent()).toContain('50 % of allocation')
    await page.getByRole('button', { name: 'What if' }).click()
    await page.getByRole('dialog', { name: 'What if' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByText(/^Data through/).waitFor()

    await use(workspace, [{ campaign: 'cmp-1', credits: '200' }])
    const notices = page.getByRole('region', { name: 'New alerts' })
    await notices
      .getByText(/has 400 credits left/)
      .first()
      .waitFor({ timeout: slowTimeout })
    // Who hears the page is told as well.
    await page
      .getByRole('status')
      .filter({ hasText: /^Alert: .* has 400 credits left/ })
      .waitFor({ state: 'attached' })
    await page
      .getByRole('navigation', { name: 'Settings' })
      .getByRole('link', { name: /^Alerts \d+ firing$/ })
      .waitFor()
    expect(await axe(page)).toEqual([])
    await notices.getByRole('link', { name: 'See the incident' }).first().click()
    await page.waitForURL(/\/settings\/alerts\?.*incident=/)
    expect(new URL(page.url()).searchParams.get('zone')).toBe('utc')
    await page.locator('.alert-details').first().waitFor()
    // It was seen, so it is said no more.
    await notices.getByText(/has 400 credits left/).waitFor({ state: 'detached' })

    // Who comes later is not told of what was before, but finds it.
    await page.reload()
    await page.locator('.alert-details').first().waitFor()
    expect(await notices.count()).toBe(0)
    await close()
  })
})
