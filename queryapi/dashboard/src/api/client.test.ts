import { afterEach, describe, expect, it, vi } from 'vitest'
import { refusal } from '../pages/credits/ledger/queries'
import { refused } from '../parts/file'
import { ApiError, api, body } from './client'
import { askAgain, worthRetrying } from './trouble'

afterEach(() => vi.unstubAllGlobals())

/** answered is what becomes of a question whose answer is this. */
async function answered(answer: () => Promise<Response>) {
  vi.stubGlobal('fetch', answer)
  const params = { path: { workspace_id: 'ws' } }
  return body(api.GET('/v1/workspaces/{workspace_id}/balance', { params, baseUrl: 'http://here', fetch: answer })).then(
    () => undefined,
    (error: unknown) => error,
  )
}

const ok = { status: 200, headers: { 'Content-Type': 'application/json' } }

/** broken is an answer that begins and then fails. */
const broken = (reason: unknown) => () =>
  Promise.resolve(
    new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode('{"remaining":'))
          controller.error(reason)
        },
      }),
      ok,
    ),
  )

describe('an answer that is none', () => {
  const answers: [string, string, () => Promise<Response>][] = [
    ['breaks off', 'unreachable', broken(new TypeError('network error'))],
    ['does not end', 'timeout', broken(new DOMException('signal timed out', 'TimeoutError'))],
    ['is cut short', 'unreadable', async () => new Response('{"remaining":"1', ok)],
    ['is the sign-in of a network', 'unreadable', async () => new Response('<!doctype html>', ok)],
    ['is empty', 'empty', async () => new Response(null, { ...ok, status: 204 })],
  ]
  it.each(answers)('and %s is %s, and asked for again', async (_, code, answer) => {
    const error = await answered(answer)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ status: 0, code })
    expect(worthRetrying(error)).toBe(true)
    expect(askAgain(error)).toBe(10_000)
    // Of a change: it may have been made.
    expect(refusal(error)).toContain('not known whether')
  })
  it('is what it was when the page called it off', async () => {
    const off = new DOMException('off', 'AbortError')
    expect(await answered(broken(off))).toBe(off)
  })
})

it('a file that cannot be asked for is no mistake of the page', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('Failed to fetch')))
  await expect(refused('/v1/workspaces/ws/export')).rejects.toMatchObject({ code: 'unreachable' })
})
