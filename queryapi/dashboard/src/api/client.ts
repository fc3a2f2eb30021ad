import createClient, { type Middleware } from 'openapi-fetch'
import { noteAnswer } from './clock'
import type { components, paths } from './schema'

export type Schemas = components['schemas']
export type Scope = 'credits:read' | 'credits:export' | 'credits:admin' | 'alerts:write' | 'events:write' | 'operator'

/** ApiError is an answer that is not the one asked for, or none at all. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0: no answer came. */
    readonly status: number,
    /** The stable code of the problem, or `unreachable`, `timeout`, `unreadable` or `empty`. */
    readonly code: string,
    message: string,
    /** What the server's log calls the request; empty: none. */
    readonly requestId = '',
    /** What is wrong with which field. */
    readonly fields: { location: string; message: string }[] = [],
    /** Seconds after which to ask again; 0: not said. */
    readonly retryAfter = 0,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

/** requestTimeout is longer than the server's own bound of 20 seconds. */
const requestTimeout = 25_000

/** sentAt is when a question was asked, by this device. */
const sentAt = new Map<string, number>()

const bounded: Middleware = {
  async onRequest({ request, id }) {
    sentAt.set(id, Date.now())
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(requestTimeout)])
    return new Request(request, { signal })
  },
  async onResponse({ response, id }) {
    const sent = sentAt.get(id)
    sentAt.delete(id)
    const date = response.headers.get('Date')
    if (sent !== undefined && date) noteAnswer(date, sent)
    if (response.ok || response.status === 304) return response
    throw await problemOf(response)
  },
  onError({ error, id }) {
    sentAt.delete(id)
    return lost(error)
  },
}

/** lost says why there is no answer, or no whole one; what the page itself called off stays what it is. */
export function lost(error: unknown): Error {
  if (error instanceof ApiError) return error
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new ApiError(0, 'timeout', 'The server took longer than 25 seconds to answer.')
  }
  if (error instanceof DOMException && error.name === 'AbortError') return error
  if (error instanceof SyntaxError) return new ApiError(0, 'unreadable', 'What came is no answer of this server.')
  return new ApiError(0, 'unreachable', 'The server cannot be reached.')
}

/** problemOf reads an RFC 9457 body; anything else becomes a sentence with the status. */
export async function problemOf(response: Response): Promise<ApiError> {
  const retryAfter = Number(response.headers.get('Retry-After')) || 0
  const requestId = response.headers.get('X-Request-Id') ?? ''
  try {
    const body = (await response.json()) as Schemas['Problem']
    const fields = (body.errors ?? []).map((e) => ({ location: e.location ?? '', message: e.message ?? '' }))
    return new ApiError(response.status, body.code, body.detail || body.title, body.request_id || requestId, fields, retryAfter)
  } catch {
    return new ApiError(
      response.status,
      `http_${response.status}`,
      `The server answered ${response.status}.`,
      requestId,
      [],
      retryAfter,
    )
  }
}

/** api asks the API that serves this page; answers that are not 2xx are thrown as ApiError. */
export const api = createClient<paths>({
  baseUrl: '/',
  credentials: 'same-origin',
  // Lists have commas between their values.
  querySerializer: { array: { style: 'form', explode: false } },
})
api.use(bounded)

/**
 * body takes the data of an answer, which is there because all else was thrown. An answer that breaks off, or that
 * something between here and the server has put in its place, has not come: it is asked for again, and of a change
 * nobody knows whether it was made.
 */
export async function body<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer.catch((error: unknown) => {
    throw lost(error)
  })
  if (data === undefined) throw new ApiError(0, 'empty', 'The server answered without a body.')
  return data
}
