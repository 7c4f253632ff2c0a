import { setTimeout as delay } from 'node:timers/promises'
import type { Service, Teardown } from '../../helpers/service.js'

/** One state after the other that a writer gave to an alias, each of them once; `value` is what reads tell it by. */
export type Step = {
  value: string
  /** When it was first sent, and when an answer said that it is done. */
  fromMs: number
  untilMs: number
  /** The instance that said so. */
  url: string
}

export type Read = {
  url: string
  alias: string
  prompt: string
  subject: string | null
  startMs: number
  endMs: number
  status: number
  isMarked: boolean
  /** Which step the answer shows; null where it shows none. */
  value: string | null
  /** What a canary made of the subject; null where none runs. */
  canary: { bucket: number; percentage: number; selected: boolean } | null
  content: string
}

export type Question = { alias: string; prompt: string; subject: string | null; readValue: (body: any) => string | null }

export type Readers = { reads: readonly Read[]; stop(): Promise<void> }

const maxReads = 200_000
const pauseMs = 5
const attemptPauseMs = 50
const stepTimeoutMs = 30_000

/** Readers that ask one after the other, each the instance of its own; `ask` draws the next question. */
export function startReaders(
  t: Teardown,
  { instances, count, ask }: { instances: Service[]; count: number; ask: (turn: number) => Question },
): Readers {
  const reads: Read[] = []
  let isStopped = false
  const run = async (instance: Service, reader: number) => {
    for (let turn = reader; !isStopped && reads.length < maxReads; turn += count) {
      reads.push(await readOnce(instance, ask(turn)))
      await delay(pauseMs)
    }
  }
  const running = Promise.all(
    Array.from({ length: count }, (_, reader) => run(instances[reader % instances.length] as Service, reader)),
  )
  const stop = async () => {
    isStopped = true
    await running
  }
  t.teardown(stop)
  return { reads, stop }
}

async function readOnce(instance: Service, { alias, prompt, subject, readValue }: Question): Promise<Read> {
  const startMs = performance.now()
  const query = subject === null ? '' : `?key=${subject}`
  const { status, headers, body } = await instance.call(`/prompts/${prompt}/${alias}${query}`)
  const endMs = performance.now()
  const isMarked = headers.get('x-promptsync-source') === 'stale'
  const bucket = Number(headers.get('x-promptsync-bucket'))
  const canary = body.canary && { bucket, percentage: body.canary.percentage, selected: body.canary.selected }
  const common = { url: instance.url, alias, prompt, subject, startMs, endMs, status, isMarked }
  return { ...common, value: status === 200 ? readValue(body) : null, canary: canary ?? null, content: body.content ?? body.code }
}

/** Takes an alias one step further, asking again until it is certain that this is done. */
export async function takeStep(
  instance: Service,
  value: string,
  path: string,
  options: { method?: string; body: object },
): Promise<Step> {
  const fromMs = performance.now()
  for (;;) {
    const { status, text } = await instance.call(path, options)
    const nowMs = performance.now()
    if (status === 200 || status === 201) return { value, fromMs, untilMs: nowMs, url: instance.url }
    if (status !== 503 || nowMs - fromMs > stepTimeoutMs) throw new Error(`${path} answered ${status}: ${text}`)
    await delay(attemptPauseMs)
  }
}

export type Wrong = { reason: string; read: Read }

/** Pairs of reads of one instance and alias where the later one shows an earlier step. */
export function findReturns(reads: readonly Read[], steps: readonly Step[]): Wrong[] {
  const order = new Map(steps.map(({ value }, index) => [value, index]))
  const stepOf = ({ value }: Read) => order.get(value ?? '') ?? -1
  const byEnd = [...reads].sort((a, b) => a.endMs - b.endMs)
  const wrong: Wrong[] = []
  let ended = 0
  let newest: Read | null = null
  for (const read of [...reads].sort((a, b) => a.startMs - b.startMs)) {
    for (let next = byEnd[ended]; next && next.endMs < read.startMs; next = byEnd[ended]) {
      if (!newest || stepOf(next) > stepOf(newest)) newest = next
      ended += 1
    }
    if (newest && stepOf(read) < stepOf(newest)) {
      wrong.push({ reason: `${Math.round(read.startMs - newest.endMs)} ms after ${newest.prompt} of ${newest.value}`, read })
    }
  }
  return wrong
}

/** Reads that show what was never so, or, without saying that they are stale, what had been replaced for too long. */
export function findOutdated(
  reads: readonly Read[],
  steps: readonly Step[],
  boundMs: (step: Step, read: Read) => number,
): Wrong[] {
  const order = new Map(steps.map(({ value }, index) => [value, index]))
  return reads.flatMap((read) => {
    const index = order.get(read.value ?? '')
    if (index === undefined || (steps[index]?.fromMs ?? 0) > read.endMs) return [{ reason: 'was never so', read }]
    if (read.isMarked) return []
    const next = steps.slice(index + 1).find((step) => step.untilMs + boundMs(step, read) < read.startMs)
    if (!next) return []
    return [
      { reason: `${Math.round(read.startMs - next.untilMs)} ms after ${next.value} was there, written on ${next.url}`, read },
    ]
  })
}

/** Subjects that left the canary, or are on a side that their bucket and the percentage do not give. */
export function findStrays(reads: readonly Read[]): Wrong[] {
  const buckets = new Map<string, number>()
  return reads.flatMap((read) => {
    const { canary, subject } = read
    if (!canary || subject === null) return [{ reason: 'has no canary', read }]
    const bucket = buckets.get(subject) ?? canary.bucket
    buckets.set(subject, bucket)
    if (bucket !== canary.bucket) return [{ reason: `the bucket was ${bucket} before`, read }]
    if (canary.selected !== canary.bucket < Math.round(canary.percentage * 100))
      return [{ reason: 'the side is not that of the bucket', read }]
    return []
  })
}
