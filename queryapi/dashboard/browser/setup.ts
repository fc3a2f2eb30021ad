// Starts the stack once for all tests of a run, and ends it.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestProject } from 'vitest/node'

const bin = resolve(import.meta.dirname, '../../../bin')

/** browsers is where Chromium is, by what distributions call it. */
const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable']

function findBrowser(): string {
  const found = [process.env.CHROMIUM ?? '', ...browsers].find((path) => path && existsSync(path))
  if (found) return found
  if (process.env.CI) throw new Error('Chromium is required in CI: set CHROMIUM to its path')
  console.warn('NOTE: no Chromium: the tests in a browser are skipped (set CHROMIUM to its path)')
  return ''
}

// Ports are taken below the kernel's own range (32768 up on Linux), where no outgoing connection can sit on one until its
// server listens, and above those that the tests in Go take (internal/storetest), which keep theirs by locks that Node
// does not have.
const portFrom = 30_000
const portTo = 32_768

/** listening has a server on a port; null: somebody else has. */
const listening = (port: number) =>
  new Promise<Server | null>((done) => {
    const server = createServer()
    server.once('error', () => done(null))
    server.listen(port, '127.0.0.1', () => done(server))
  })

/** freePorts are ports that nobody listens on. */
async function freePorts(n: number): Promise<number[]> {
  const held = new Map<number, Server>()
  for (let tries = 0; held.size < n; tries++) {
    // As many as in internal/storetest.
    if (tries === 200) throw new Error('cannot find a free port')
    const port = randomInt(portFrom, portTo)
    const server = await listening(port)
    if (server) held.set(port, server)
  }
  await Promise.all([...held.values()].map((server) => new Promise((done) => server.close(done))))
  return [...held.keys()]
}

/** startTimeout is for a first start on a busy machine, in milliseconds: ten times what a quiet one may take for it. */
const startTimeout = 300_000

async function started(child: ChildProcess, file: string, said: () => string): Promise<{ url: string; token: string }> {
  const until = Date.now() + startTimeout
  while (Date.now() < until) {
    if (child.exitCode !== null) throw new Error(`drawdown up ended with ${child.exitCode}:\n${said()}`)
    if (existsSync(file)) {
      const access = JSON.parse(readFileSync(file, 'utf8'))
      const response = await fetch(`${access.url}/v1/workspaces/demo-acme/balance`, {
        headers: { Authorization: `Bearer ${access.token}` },
      }).catch(() => null)
      if (response?.ok) return access
    }
    await new Promise((done) => setTimeout(done, 200))
  }
  throw new Error(`drawdown up was not ready within ${startTimeout / 1000} s:\n${said()}`)
}

export default async function setup(project: TestProject) {
  const browser = findBrowser()
  const drawdown = join(bin, 'drawdown')
  if (!browser) {
    project.provide('stack', { url: '', token: '', data: '', kafka: '', browser, drawdown })
    return
  }
  if (!existsSync(drawdown)) throw new Error(`${drawdown} is missing: make build`)
  const data = mkdtempSync(join(tmpdir(), 'drawdown-browser-'))
  const [api, ops, kafka, native, http] = await freePorts(5)
  const child = spawn(
    drawdown,
    [
      ...['up', '--demo', '--data', data, '--api-listen', `127.0.0.1:${api}`, '--ops-listen', `127.0.0.1:${ops}`],
      ...[
        '--kafka-listen',
        `127.0.0.1:${kafka}`,
        '--clickhouse-listen',
        `127.0.0.1:${native}`,
        '--clickhouse-http-listen',
        `127.0.0.1:${http}`,
      ],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let log = ''
  const keep = (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-20_000)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const ended = new Promise((done) => child.once('exit', done))
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(data, { recursive: true, force: true })
  }
  try {
    const { url, token } = await started(child, join(data, 'dev.json'), () => log)
    project.provide('stack', { url, token, data, kafka: `127.0.0.1:${kafka}`, browser, drawdown })
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}
