import { type Call, type Connection, openCall, readAnswer, toRequest, unanswered } from './http.js'
import { type Entry, isImmutable } from './plan-cache.js'
import { builtinModule, type Clock, setBackgroundTimer, type Timer } from './platform.js'
import { PromptsyncError } from './problem.js'

/** Something that happened in the project: see `docs/events.md` for the kinds there are. There may be more. */
export type PromptsyncEvent = {
  id: string | null
  /** `alias.moved`, say. */
  type: string
  data: {
    project: string
    /** The number of the change, among all of the project. */
    epoch: number
    /** ISO 8601. */
    at: string
    alias?: string
    prompt?: string | null
    release?: string | null
    version?: string | null
    number?: number
    revision?: number | null
    canary?: { release?: string | null; version?: string | null; percentage: number } | null
  }
}

/** The service says something every 15 s; a connection that is silent for thrice that is none. */
const silenceMs = 45_000
const firstWaitMs = 500
const longestWaitMs = 30_000
const longestAskedMs = 600_000
/** Of one event, which tells names and numbers. */
const maxEventLength = 1024 ** 2

/** Makes events of the pieces of a stream, however they are cut. */
export class EventReader {
  #rest = ''

  /** Throws `client.not_promptsync` where a stream holds no events. */
  read(piece: string): PromptsyncEvent[] {
    const text = `${this.#rest}${piece}`
    // It may be half of the end of a line.
    const held = text.endsWith('\r') ? '\r' : ''
    const blocks = text
      .slice(0, text.length - held.length)
      .replace(/\r\n?/g, '\n')
      .split('\n\n')
    this.#rest = `${blocks.pop() ?? ''}${held}`
    if (this.#rest.length > maxEventLength) throw noEvents('more than a mebibyte without an end')
    return blocks.flatMap(toEvent)
  }
}

function toEvent(block: string): PromptsyncEvent[] {
  const fields = new Map(block.split('\n').map((line) => [line.split(':', 1)[0] ?? '', line.replace(/^[^:]*:? ?/, '')]))
  const data = fields.get('data')
  if (data === undefined) return []
  return [{ id: fields.get('id') ?? null, type: fields.get('event') ?? 'message', data: parseData(data) }]
}

function parseData(text: string): PromptsyncEvent['data'] {
  try {
    const data: unknown = JSON.parse(text)
    if (typeof data === 'object' && data !== null) return data as PromptsyncEvent['data']
  } catch (error) {
    throw noEvents('data that is no JSON', error)
  }
  throw noEvents('data that is no object')
}

function noEvents(what: string, cause?: unknown): PromptsyncError {
  const detail = `What should be a stream of events has ${what}. Check the address, and proxies on the way.`
  return new PromptsyncError('client.not_promptsync', detail, { status: null, cause })
}

/** How a stream is opened. It ends where the stream ends, and throws where it breaks. */
export type OpenStream = (
  connection: Connection,
  call: { headers: Record<string, string>; signal: AbortSignal },
) => AsyncIterable<Uint8Array>

/** By `fetch`: everywhere, but it keeps a process of Node alive. */
export const openByFetch: OpenStream = async function* (connection, { headers, signal }) {
  const call = { path: '/events', headers }
  const response = await openCall(connection, call, signal)
  await refuseOthers(connection, call, response)
  const reader = response.body?.getReader()
  if (!reader) return
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    // A stream that broke cannot be cancelled, and need not be.
    await reader.cancel().catch(() => undefined)
  }
}

type Http = Pick<typeof import('node:http'), 'request'>
type Message = InstanceType<typeof import('node:http')['IncomingMessage']>

/** By the modules of Node, with a socket that keeps no process alive. Null where there are none. */
export function openByNode(url: string): OpenStream | null {
  const http = builtinModule<Http>(url.startsWith('https:') ? 'node:https' : 'node:http')
  if (!http) return null
  return async function* (connection, call) {
    const { headers, ...request } = toRequest(connection, { path: '/events', headers: call.headers })
    const sent = http.request(request.url, { headers, signal: call.signal, agent: false })
    sent.on('socket', (socket) => socket.unref?.())
    const message = await new Promise<Message>((resolve, reject) => {
      sent.on('response', resolve).on('error', reject).end()
    })
    const { statusCode: status = 0, headers: fields } = message
    const told = ['content-type', 'retry-after', 'location'] as const
    const head = new Headers(told.flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]])))
    if (status !== 200 || !isEventStream(head)) {
      const text = await readText(message)
      await refuseOthers(
        connection,
        { path: '/events' },
        new Response(text || null, { status: Math.max(200, status), headers: head }),
      )
    }
    yield* message
  }
}

async function readText(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of pieces) {
    text += decoder.decode(piece, { stream: true })
    if (text.length > maxEventLength) break
  }
  return text
}

function isEventStream(headers: Headers): boolean {
  return /^text\/event-stream\b/.test(headers.get('content-type') ?? '')
}

/** Throws what is said in place of a stream. */
async function refuseOthers(connection: Connection, call: Call, response: Response): Promise<void> {
  if (response.status === 200 && isEventStream(response.headers)) return
  await readAnswer(connection, call, response)
  throw noEvents(`status ${response.status} and no events`)
}

export type Following = {
  connection: Connection
  open: OpenStream
  clock: Pick<Clock, 'monotonic' | 'random'>
  /** Ends it. */
  signal: AbortSignal
  /** To go on behind the last event that was had. */
  lastEventId?: string | null | undefined
  /** Waits between connections. */
  setTimer: (work: () => void, delayMs: number) => Timer
  /** Told of each connection that broke or was refused. */
  onBreak: (error: PromptsyncError) => 'goes on' | 'gives up'
}

/**
 * What happens in the project, from now or from the last event on, across connections that break. It ends when it is told to, and
 * throws the `PromptsyncError` of a connection that `onBreak` gives up on.
 */
export async function* followEvents(following: Following): AsyncGenerator<PromptsyncEvent, void, undefined> {
  const { signal, clock, setTimer, onBreak } = following
  let lastEventId = following.lastEventId ?? null
  let waitMs = firstWaitMs
  while (!signal.aborted) {
    let retryAfterMs = 0
    const openedAtMs = clock.monotonic()
    try {
      for await (const event of openOnce(following, lastEventId)) {
        lastEventId = event.id ?? lastEventId
        waitMs = firstWaitMs
        yield event
      }
    } catch (error) {
      if (signal.aborted) return
      const failure = toProblem(following, error)
      if (onBreak(failure) === 'gives up') throw failure
      retryAfterMs = (failure.retryAfterSeconds ?? 0) * 1_000
    }
    // Proxies end what has been open for a while, however well the service is.
    if (clock.monotonic() - openedAtMs >= longestWaitMs) waitMs = firstWaitMs
    await pause(Math.max(Math.min(retryAfterMs, longestAskedMs), waitMs * (0.5 + clock.random() / 2)), signal, setTimer)
    waitMs = Math.min(longestWaitMs, waitMs * 2)
  }
}

/** One connection, which is given up when it is silent for too long. */
async function* openOnce(following: Following, lastEventId: string | null): AsyncGenerator<PromptsyncEvent> {
  const { connection, open, signal } = following
  const attempt = new AbortController()
  const abort = () => attempt.abort(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  const giveUp = () => attempt.abort(new Error('the stream was silent for too long'))
  let silence = setBackgroundTimer(giveUp, connection.timeoutMs)
  const headers = { accept: 'text/event-stream', ...(lastEventId === null ? {} : { 'last-event-id': lastEventId }) }
  const [reader, decoder] = [new EventReader(), new TextDecoder()]
  try {
    for await (const piece of open(connection, { headers, signal: attempt.signal })) {
      clearTimeout(silence)
      silence = setBackgroundTimer(giveUp, silenceMs)
      yield* reader.read(decoder.decode(piece, { stream: true }))
    }
  } finally {
    clearTimeout(silence)
    signal.removeEventListener('abort', abort)
    attempt.abort()
  }
}

function toProblem({ connection }: Following, error: unknown): PromptsyncError {
  if (error instanceof PromptsyncError) return error
  return unanswered(connection, { timeoutMs: connection.timeoutMs, isLate: false, isAborted: false, error })
}

function pause(delayMs: number, signal: AbortSignal, setTimer: Following['setTimer']): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimer(end, delayMs)
    signal.addEventListener('abort', end, { once: true })
  })
}

/** Whether what a plan answers may have changed by an event. Of kinds that are not known here anything may be. */
export function affects({ type, data }: PromptsyncEvent, { name, ref, decisions: { plan } }: Entry): boolean {
  const isMovable = !isImmutable(plan)
  switch (type) {
    case 'alias.moved':
    case 'alias.deleted':
    case 'canary.changed':
      return isMovable && ref === data.alias && (data.prompt === null || data.prompt === undefined || data.prompt === name)
    case 'release.created':
    case 'release.pushed':
      return isMovable && (plan.by === 'latest' || plan.by === 'commit' || plan.by === 'builtin')
    case 'prompt.archived':
      return isMovable && plan.by === 'latest' && name === data.prompt
    case 'prompt.updated':
    case 'version.allowed':
      return false
    // What includes it is answered no more, either.
    case 'version.purged':
    case 'reset':
    case 'project.deleted':
      return true
    default:
      return isMovable
  }
}

/** Whether an event says of what it affects that it has changed, and not only that it may have. */
export function isExact({ type }: PromptsyncEvent): boolean {
  return ['alias.moved', 'alias.deleted', 'canary.changed', 'version.purged'].includes(type)
}
