import { Agent, type IncomingMessage, request } from 'node:http'
import type { Teardown } from '../../helpers/service.js'

/** One request and what came of it. Times are those of `performance.now()`. */
export type Sample = {
  url: string
  path: string
  /** When it was to be sent: what the generator was late counts as waiting. */
  dueMs: number
  startMs: number
  endMs: number
  /** Null where no whole answer came; then `failure` says why. */
  status: number | null
  failure: string | null
  /** `X-Promptsync-Source` and so on; null without that header. */
  source: string | null
  ageSeconds: number | null
  version: string | null
  /** Of the body; the code is a problem's. */
  content: string | null
  release: string | null
  code: string | null
}

export type Load = {
  /** What has ended so far. */
  samples: readonly Sample[]
  /** Resolves at the first request that ends from now on and is so; rejects when none was in time. */
  until(isSo: (sample: Sample) => boolean, timeoutMs: number): Promise<Sample>
  /** Sends no more, and resolves with all samples when the last has ended. */
  stop(): Promise<Sample[]>
}

type Options = {
  /** Of the instances, in turns. */
  urls: string[]
  paths: string[]
  key: string
  ratePerSecond?: number
  headers?: Record<string, string>
}

type Target = { url: string; path: string }

const maxInFlight = 2_000
const maxSamples = 500_000
const requestTimeoutMs = 10_000

/** Sends GET requests at a steady rate, however late the answers are: waiting for them would hide how bad it is. */
export function startLoad(t: Teardown, options: Options): Load {
  const { urls, paths, key, ratePerSecond = 200, headers = {} } = options
  const targets = urls.flatMap((url) => paths.map((path) => ({ url, path })))
  const agent = new Agent({ keepAlive: true, maxSockets: maxInFlight })
  const samples: Sample[] = []
  const listeners = new Set<(sample: Sample) => void>()
  const inFlight = new Set<Promise<void>>()
  const beganMs = performance.now()
  let sent = 0
  let timer: NodeJS.Timeout | null = null

  const end = (sample: Sample) => {
    samples.push(sample)
    for (const listener of listeners) listener(sample)
  }
  const send = (target: Target, dueMs: number) => {
    if (inFlight.size >= maxInFlight) return end(unsent(target, dueMs, `More than ${maxInFlight} are in flight.`))
    const answered = get(agent, target, { ...headers, authorization: `Bearer ${key}` }, dueMs).then((sample) => {
      inFlight.delete(answered)
      end(sample)
    })
    inFlight.add(answered)
  }
  const tick = () => {
    const dueAt = (index: number) => beganMs + (index * 1_000) / ratePerSecond
    for (; dueAt(sent) <= performance.now(); sent += 1) {
      const target = targets[sent % targets.length]
      if (target) send(target, dueAt(sent))
    }
    timer = sent < maxSamples ? setTimeout(tick, dueAt(sent) - performance.now()) : null
  }
  tick()
  const stop = async () => {
    if (sent >= maxSamples) throw new Error(`The load was not stopped after ${maxSamples} requests.`)
    clearTimeout(timer ?? undefined)
    await Promise.all(inFlight)
    agent.destroy()
    return samples
  }
  t.teardown(stop)
  return { samples, stop, until: (isSo, timeoutMs) => nextSample(listeners, isSo, timeoutMs) }
}

function nextSample(
  listeners: Set<(sample: Sample) => void>,
  isSo: (sample: Sample) => boolean,
  timeoutMs: number,
): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const finish = (end: () => void) => {
      clearTimeout(timer)
      listeners.delete(look)
      end()
    }
    const look = (sample: Sample) => {
      if (isSo(sample)) finish(() => resolve(sample))
    }
    const timer = setTimeout(
      () => finish(() => reject(new Error(`For ${timeoutMs} ms no answer was like this: ${isSo}`))),
      timeoutMs,
    )
    listeners.add(look)
  })
}

function unsent({ url, path }: Target, dueMs: number, failure: string): Sample {
  const nowMs = performance.now()
  const unknown = { status: null, source: null, ageSeconds: null, version: null, content: null, release: null, code: null }
  return { url, path, dueMs, startMs: nowMs, endMs: nowMs, failure, ...unknown }
}

function get(agent: Agent, target: Target, headers: Record<string, string>, dueMs: number): Promise<Sample> {
  const sample = unsent(target, dueMs, '')
  return new Promise((resolve) => {
    const finish = (outcome: Partial<Sample>) => resolve({ ...sample, ...outcome, endMs: performance.now() })
    const fail = (error: NodeJS.ErrnoException) => {
      finish({ failure: error.name === 'AbortError' ? 'timeout' : (error.code ?? error.message) })
    }
    const signal = AbortSignal.timeout(requestTimeoutMs)
    const call = request(target.url + target.path, { agent, headers, signal }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk) => chunks.push(chunk))
      answer.on('error', fail)
      answer.on('end', () => finish(read(answer, Buffer.concat(chunks).toString())))
    })
    call.on('error', fail)
    call.end()
  })
}

function read({ statusCode = 0, headers }: IncomingMessage, text: string): Partial<Sample> {
  const body = parse(headers['content-type'] ?? '', text)
  if (!body) return { failure: `no JSON: ${text.slice(0, 100)}` }
  const header = (name: string) => (headers[name] === undefined ? null : String(headers[name]))
  return {
    status: statusCode,
    failure: null,
    source: header('x-promptsync-source'),
    ageSeconds: headers.age === undefined ? null : Number(headers.age),
    version: header('x-promptsync-version'),
    content: body.content ?? null,
    release: body.release ?? null,
    code: body.code ?? null,
  }
}

function parse(type: string, text: string): Partial<Record<'content' | 'release' | 'code', string>> | null {
  if (!/json/.test(type)) return { content: text }
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The time in milliseconds within which this share (0 to 1) of the requests ended, counted from when each was due. */
export function percentile(samples: readonly Sample[], share: number): number {
  const sorted = samples.map(({ dueMs, endMs }) => endMs - dueMs).sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
}

/** How often each status came; where none did, the failure stands in its place. */
export function statuses(samples: readonly Sample[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status, failure } of samples) {
    const name = String(status ?? failure)
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

/** A write that makes `value` the answer of a path; null makes it unknown (404). */
export type Write = {
  value: string | null
  /** When it was sent, and when its answer came or was given up. */
  fromMs: number
  untilMs: number
  /** Whether it is known to have happened. One that changed nothing is not recorded. */
  outcome: 'acknowledged' | 'unknown'
  /** The instance that was asked: it serves the new value at once. */
  url?: string
}

export type History = {
  record(path: string, write: Write): void
  writesOf(path: string): readonly Write[]
}

const maxWritesPerPath = 10_000

/** What was true when, as far as those who wrote it know. What was true from the beginning is a write, too. */
export function createHistory(): History {
  const paths = new Map<string, Write[]>()
  return {
    record(path, write) {
      const writes = paths.get(path) ?? []
      if (writes.length >= maxWritesPerPath) throw new Error(`${path} was written more than ${maxWritesPerPath} times.`)
      writes.push(write)
      paths.set(path, writes)
    },
    writesOf: (path) => paths.get(path) ?? [],
  }
}

export type WrongAnswer = { sample: Sample; reason: string }

type Truth = {
  /** How long an instance may serve, unmarked, what another has replaced. */
  maxStalenessMs: number
  /** What a good answer says; by default its content. */
  readValue?: (sample: Sample) => string | null
}

/**
 * The answers that were not true at any moment they may speak of. One that says it is stale may be anything that has
 * been true; answers that are neither good nor 404 say nothing.
 */
export function checkTrue(samples: readonly Sample[], history: History, truth: Truth): WrongAnswer[] {
  const { maxStalenessMs, readValue = ({ content }) => content } = truth
  return samples.flatMap((sample) => {
    if (sample.status !== 200 && sample.status !== 404) return []
    const value = sample.status === 404 ? null : readValue(sample)
    const reason = whyWrong(sample, value, history.writesOf(sample.path), maxStalenessMs)
    return reason === null ? [] : [{ sample, reason }]
  })
}

function whyWrong(sample: Sample, value: string | null, writes: readonly Write[], maxStalenessMs: number): string | null {
  const known = writes.filter((write) => write.value === value && write.fromMs <= sample.endMs)
  if (known.length === 0) return `${shorten(value)} had never been written`
  if (sample.source === 'stale') return null
  /** Whether this one came surely after the other, and long enough before the request. */
  const replaces = (later: Write, earlier: Write) =>
    later.outcome === 'acknowledged' &&
    later.fromMs >= earlier.untilMs &&
    later.untilMs + (later.url === sample.url ? 0 : maxStalenessMs) <= sample.startMs
  const replacements = known.map((write) => writes.find((later) => replaces(later, write)))
  const replacement = replacements.at(-1)
  if (!replacement || replacements.includes(undefined)) return null
  const lateMs = Math.round(sample.startMs - replacement.untilMs)
  return `${shorten(value)} had been replaced by ${shorten(replacement.value)} ${lateMs} ms before the request`
}

function shorten(value: string | null): string {
  return value === null ? 'that it is unknown' : JSON.stringify(value.slice(0, 60))
}
