import { setBackgroundTimer } from './platform.js'
import { PromptsyncError } from './problem.js'

/** Where calls go, and as whom. */
export type Connection = {
  /** The address of the service, without a path of ours: `https://prompts.example.com`, perhaps with a prefix of a proxy. */
  url: string
  token: string | null
  /** Null for the key's own project, else `default`. */
  project: string | null
  /** A call takes no longer, its body included. */
  timeoutMs: number
  fetch: typeof globalThis.fetch
  /** The calls under way, for whoever may end them. */
  underWay?: Set<AbortController>
  /** Sent with each call, such as `user-agent`. */
  headers?: Record<string, string>
  /** Told of each call as it is sent. */
  onRequest?: (request: CallRequest) => void
}

type QueryValue = string | number | boolean | readonly string[] | null | undefined

export type Call = {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below the address, encoded: `/prompts/${encodeURIComponent(name)}`. */
  path: string
  /** What is null or undefined is left out; a list is a parameter several times. */
  query?: Record<string, QueryValue>
  /** Sent as JSON. */
  body?: unknown
  headers?: Record<string, string | null | undefined>
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
  /** What is expected: JSON, or any text (of a diff as HTML, say). */
  accept?: 'json' | 'text'
}

/** `body` is undefined for 304 and empty answers. */
export type Answer<Body> = { status: number; headers: Headers; text: string; body: Body }

/** The longest answer that is read. */
const maxAnswerBytes = 128 * 1024 ** 2

/**
 * Calls the server. Answers 2xx and 304. Throws `PromptsyncError`: the server's own problem, or a `client.…` code where nobody
 * answers, the time is up, or whoever answers is not promptsync.
 */
export async function callApi<Body>(connection: Connection, call: Call): Promise<Answer<Body>> {
  const timeoutMs = call.timeoutMs ?? connection.timeoutMs
  const deadline = startDeadline(timeoutMs, call.signal)
  const { controller } = deadline
  connection.underWay?.add(controller)
  try {
    const answer = openCall(connection, call, controller.signal).then((response) => readAnswer<Body>(connection, call, response))
    // A `fetch` that somebody gave may not mind the signal.
    return await Promise.race([answer, aborted(controller.signal)])
  } catch (error) {
    if (error instanceof PromptsyncError) throw error
    throw unanswered(connection, { timeoutMs, isLate: deadline.isLate(), isAborted: controller.signal.aborted, error })
  } finally {
    deadline.end()
    connection.underWay?.delete(controller)
  }
}

/** Aborts when the time is up, or the caller gives up. `end` lets go of both: a timer that is left keeps some platforms alive. */
function startDeadline(timeoutMs: number, given: AbortSignal | undefined) {
  const controller = new AbortController()
  let isLate = false
  const timer = setBackgroundTimer(() => {
    isLate = !controller.signal.aborted
    controller.abort(new Error('The time is up.'))
  }, timeoutMs)
  const giveUp = () => controller.abort(given?.reason)
  given?.addEventListener('abort', giveUp, { once: true })
  if (given?.aborted) giveUp()
  const end = () => {
    clearTimeout(timer)
    given?.removeEventListener('abort', giveUp)
  }
  return { controller, isLate: () => isLate, end }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** Sends a call and answers as soon as the header fields are there; whatever comes then is for the caller to read and judge. */
export async function openCall(connection: Connection, call: Call, signal: AbortSignal): Promise<Response> {
  const { url, ...request } = toRequest(connection, call)
  // A redirect would turn a POST into a GET, or hand the key to somebody else.
  return connection.fetch(url, { ...request, signal, redirect: 'manual' })
}

/** A call as it is sent. */
export type CallRequest = { method: string; url: string; headers: Record<string, string>; body: string | null }

/** What is to be sent for a call, of which `onRequest` is told. */
export function toRequest(connection: Connection, call: Call): CallRequest {
  const { method = call.body === undefined ? 'GET' : 'POST', accept = 'json' } = call
  const body = call.body === undefined ? null : JSON.stringify(call.body)
  const headers: Record<string, string> = {
    accept: accept === 'json' ? 'application/json' : '*/*',
    ...connection.headers,
    ...(connection.token === null ? {} : { authorization: `Bearer ${connection.token}` }),
    ...(connection.project === null ? {} : { 'x-promptsync-project': connection.project }),
    ...(body === null ? {} : { 'content-type': 'application/json' }),
    ...Object.fromEntries(Object.entries(call.headers ?? {}).filter((field): field is [string, string] => field[1] != null)),
  }
  const request = { method, url: addressOf(connection, call), headers, body }
  connection.onRequest?.(request)
  return request
}

function addressOf({ url }: Connection, { path, query = {} }: Call): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue
    for (const one of typeof value === 'object' ? value : [value]) parameters.append(name, String(one))
  }
  const search = parameters.toString()
  return `${url.replace(/\/+$/, '')}${path}${search === '' ? '' : `?${search}`}`
}

/** Reads an answer to its end. Throws what `callApi` does, but for what platforms throw when a connection breaks. */
export async function readAnswer<Body>(connection: Connection, call: Call, response: Response): Promise<Answer<Body>> {
  const { status, headers, type } = response
  if (type === 'opaqueredirect' || (status >= 300 && status < 400 && status !== 304)) throw redirected(connection, headers)
  const text = await readText(connection, response)
  const isJson = /[/+]json\b/.test(headers.get('content-type') ?? '')
  if (status >= 400) throw toProblem(connection, response, isJson ? parse(connection, response, text) : null)
  if (status === 304 || text === '') return { status, headers, text, body: undefined as Body }
  if (call.accept === 'text') return { status, headers, text, body: text as Body }
  if (!isJson) throw notPromptsync(connection, response)
  return { status, headers, text, body: parse(connection, response, text) as Body }
}

/** Reads the whole body, within bounds, whatever its header fields claim. */
async function readText(connection: Connection, response: Response): Promise<string> {
  // React Native, and answers that tests make up, have no stream.
  if (typeof response.body?.getReader !== 'function') return response.text()
  const decoder = new TextDecoder()
  const reader = response.body.getReader()
  let text = ''
  let sizeBytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    sizeBytes += value.byteLength
    if (sizeBytes > maxAnswerBytes) {
      await reader.cancel()
      throw notPromptsync(connection, response, `more than ${maxAnswerBytes / 1024 ** 2} MiB`)
    }
    text += decoder.decode(value, { stream: true })
  }
}

function parse(connection: Connection, response: Response, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw notPromptsync(connection, response, 'JSON that ends too early or is none', error)
  }
}

function toProblem(connection: Connection, response: Response, body: unknown): PromptsyncError {
  const problem = (body ?? {}) as { code?: unknown; detail?: unknown; requestId?: unknown; errors?: unknown }
  if (typeof problem.code !== 'string' || typeof problem.detail !== 'string') return notPromptsync(connection, response)
  const { status, headers } = response
  const seconds = Number(headers.get('retry-after') ?? Number.NaN)
  return new PromptsyncError(problem.code, problem.detail, {
    status,
    requestId: typeof problem.requestId === 'string' ? problem.requestId : undefined,
    errors: Array.isArray(problem.errors) ? problem.errors : undefined,
    retryAfterSeconds: Number.isFinite(seconds) ? seconds : null,
  })
}

function notPromptsync({ url }: Connection, { status, headers }: Response, what?: string, cause?: unknown): PromptsyncError {
  const said = what ?? headers.get('content-type')?.split(';')[0] ?? 'nothing'
  return new PromptsyncError(
    'client.not_promptsync',
    `${url} answered ${status} with ${said}, which is no answer of promptsync. Check the address, and proxies on the way.`,
    // A gateway that finds nobody behind it may find somebody later.
    { status, cause },
  )
}

function redirected({ url }: Connection, headers: Headers): PromptsyncError {
  const to = headers.get('location')
  return new PromptsyncError(
    'client.redirected',
    `${url} redirects${to ? ` to ${to}` : ''}, which is not followed: the key would go there. Set the address that it leads to.`,
    { status: null },
  )
}

type Unanswered = { timeoutMs: number; isLate: boolean; isAborted: boolean; error: unknown }

/** The error for a call that nobody answered, or not to its end. */
export function unanswered({ url }: Connection, { timeoutMs, isLate, isAborted, error }: Unanswered): PromptsyncError {
  const details = { status: null, cause: error }
  if (isLate) {
    const detail = `${url} did not answer within ${timeoutMs / 1_000} s. Try again, or check that it is reachable from here.`
    return new PromptsyncError('client.timeout', detail, details)
  }
  if (isAborted) return new PromptsyncError('client.aborted', 'The call was given up.', details)
  return new PromptsyncError(
    'client.unreachable',
    `${url} cannot be reached: ${reasonOf(error)}. Check the address, and that the service runs.`,
    details,
  )
}

/** Platforms hide why a fetch failed in its cause, each in its own way. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string }
  return cause?.code ?? (cause?.message || message || String(error))
}
