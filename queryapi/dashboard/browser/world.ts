// Workspaces beside the demo of which every figure is known: nothing but the
// tests writes to them, and only to `moving` after they are built.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answer, cli, counted, stack, use } from './stack'

/** longName has the 200 characters that a name may have, in several scripts. */
export const longName =
  'Überaus lange Kampagne für Vertriebsleiter — 販売責任者向けの長いキャンペーン — حملة طويلة لقادة المبيعات — '
    .repeat(3)
    .slice(0, 200)

/** World names the workspaces. */
export const world = {
  /** Granted 1,000,000 of which nothing but known events is used; ends in 18 days. */
  plain: 'w-plain',
  /** 9,779,419 left of 1,000,000 allocated. */
  above: 'w-above',
  /** Overdrawn by 12.5. */
  over: 'w-over',
  /** A grant and nothing else. */
  unused: 'w-unused',
  /** A grant, and no campaign. */
  bare: 'w-bare',
  /** 5,000 campaigns. */
  many: 'w-many',
  /** A grant, and what a test uses of it while somebody looks. */
  moving: 'w-moving',
}

const at = (days: number) => new Date(Math.floor(Date.now() / 60_000) * 60_000 + days * 86_400_000).toISOString()

async function grant(workspace: string, credits: string, id: string, expires?: string) {
  await answer(`/workspaces/${workspace}/grants`, {
    method: 'POST',
    headers: { 'Idempotency-Key': `${workspace}-${id}` },
    body: JSON.stringify({ credits, grant_id: id, effective_at: at(-20), ...(expires ? { expires_at: expires } : {}) }),
  })
}

let built: Promise<void> | undefined

/** build writes them, once a run: each file of tests loads this one anew, so that it is a file that tells. */
export function build(): Promise<void> {
  const done = join(stack.data, 'world')
  if (existsSync(done)) return Promise.resolve()
  built ??= write().then(() => writeFileSync(done, ''))
  return built
}

async function write() {
  // Naming them first makes them known to the API, which then takes the rest.
  cli('campaign', world.plain, 'cmp-leads', '--name', 'Leads & more <b>', '--status', 'ACTIVE', '--quota', '5000')
  cli('campaign', world.plain, 'cmp-long', '--name', longName, '--status', 'PAUSED', '--no-quota')
  cli('campaign', world.above, 'cmp-a', '--name', 'عربي', '--status', 'COMPLETED', '--no-quota')
  for (const workspace of [world.over, world.unused, world.many, world.moving])
    cli('campaign', workspace, 'cmp-1', '--name', 'One', '--status', 'ACTIVE', '--no-quota')
  cli('grant', 'add', world.bare, '10')
  await counted(world.many)
  await grant(world.plain, '1000000', 'g1', at(18))
  await grant(world.above, '1000000', 'g1', at(18))
  await answer(`/workspaces/${world.above}/adjustments`, {
    method: 'POST',
    body: JSON.stringify({ credits: '8779419', reason: 'as in the guide' }),
  })
  await grant(world.over, '100', 'g1')
  await grant(world.unused, '0.000001', 'g1')
  await grant(world.many, '1000000', 'g1')
  await grant(world.moving, '1000000', 'g1', at(18))
  const hour = (back: number) => new Date(Date.now() - back * 3_600_000).toISOString()
  await use(
    world.plain,
    Array.from({ length: 240 }, (_, i) => ({
      campaign: i % 3 === 0 ? 'cmp-long' : 'cmp-leads',
      credits: i % 2 === 0 ? '1.5' : '0.000001',
      action: i % 4 === 0 ? 'lead_sourced' : 'enrichment',
      time: hour(i + 1),
    })),
  )
  await use(world.plain, [
    { credits: '7', time: hour(5) },
    { campaign: 'cmp-leads', credits: '-2.5', time: hour(6) },
  ])
  await use(world.over, [{ campaign: 'cmp-1', credits: '112.5', time: hour(3) }])
  await use(
    world.moving,
    Array.from({ length: 48 }, (_, i) => ({ campaign: 'cmp-1', credits: '1.5', time: hour(i + 1) })),
  )
  await use(
    world.many,
    Array.from({ length: 5000 }, (_, i) => ({ campaign: `cmp-${i}`, credits: String(1 + (i % 7)), time: hour(1 + (i % 48)) })),
  )
  await counted(world.many)
}
