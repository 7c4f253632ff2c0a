import type t from 'tap'
import type { Service } from '../../helpers/service.js'
import { until } from '../../helpers/until.js'
import { watchLateness } from './event-loop.js'
import { migrateDatabase, startInstance, untilLinked } from './instances.js'
import { type KnownPrompts, makeKnown, moveOnce, movingPath, startMoves } from './known-prompts.js'
import { startPostgres } from './postgres-server.js'
import { checkTrue, percentile, type Sample, startLoad, statuses } from './steady-load.js'

const maxStalenessMs = 1_000
/** A read waits 50 ms for Redis, once. The rest is what it may take when Redis is of no help. */
const p99Ms = 300
/** How many reads may be waiting for Redis when the first of them finds out that it is silent, on each instance. */
const maxTimeouts = 10
const recoveryMs = 10_000
const patienceMs = 15_000
/** Of the answers that are wrong, as many tell enough. */
const maxShown = 5
/** At 200 a second. */
const requestsInFault = 400
const coldPerFault = 60
const coldPrompts = 900

type Tap = Pick<typeof t, 'equal' | 'ok' | 'strictSame' | 'teardown'>

export type FaultOfRedis = {
  begin(): Promise<void>
  end(): Promise<void>
}

/** Two instances on one Redis, or on one Cluster, that is taken away from them again and again. */
export type Endurance = { writer: Service; other: Service; known: KnownPrompts; takeCold(): string[] }

export async function startEndurance(t: Tap, redisUrls: string[]): Promise<Endurance> {
  const postgres = await startPostgres(t)
  const databaseUrl = await postgres.createDatabase('reads')
  await migrateDatabase(databaseUrl)
  const start = () => startInstance(t, { databaseUrl, redisUrls })
  const [writer, other] = [await start(), await start()]
  const known = await makeKnown([writer, other])
  await shelve(writer)
  let coldUsed = 0
  const takeCold = () => {
    const paths = Array.from({ length: coldPerFault }, (_, index) => `/prompts/cold-${coldUsed + index}/shelf`)
    coldUsed += coldPerFault
    return paths
  }
  return { writer, other, known, takeCold }
}

export async function untilBothLinked({ writer, other }: Endurance): Promise<void> {
  await Promise.all([untilLinked(writer, recoveryMs), untilLinked(other, recoveryMs)])
}

/** Prompts that Redis has and the other instance has not been asked for. */
async function shelve(instance: Service): Promise<void> {
  const prompts = Array.from({ length: coldPrompts }, (_, index) => ({ name: `cold-${index}`, content: `cold ${index}` }))
  await instance.push({ alias: 'shelf', prompts })
  for (let at = 0; at < coldPrompts; at += 50) {
    await Promise.all(prompts.slice(at, at + 50).map(({ name }) => instance.call(`/prompts/${name}/shelf`)))
  }
}

/** Reads and moves while the fault lasts, and holds the service to its promises: then, and once it is over. */
export async function endure(t: Tap, endurance: Endurance, { begin, end }: FaultOfRedis): Promise<void> {
  const { writer, other, known, takeCold } = endurance
  const timeouts = () => [writer, other].map(({ deps }) => deps.redis?.counts.timeouts ?? 0)
  const { paths, history, key } = known
  const before = timeouts()
  const lateness = watchLateness(t)
  const load = startLoad(t, { urls: [writer.url, other.url], paths, key })
  const moves = startMoves(t, writer, history)
  await load.until(({ status }) => status === 200, patienceMs)
  await begin()
  const cold = startLoad(t, { urls: [other.url], paths: takeCold(), key, ratePerSecond: 25 })
  const from = load.samples.length
  await until('the fault has lasted', patienceMs, () => load.samples.length - from >= requestsInFault)
  const coldSamples = await cold.stop()
  await end()
  await untilBothLinked(endurance)
  const { acknowledged, ...failed } = await moves.stop()
  const samples = await load.stop()

  t.strictSame(statuses(samples), { 200: samples.length }, 'everything is answered')
  t.strictSame(statuses(coldSamples), { 200: coldSamples.length }, 'what is only in Redis or Postgres')
  t.strictSame(wrongAnswers(known, samples), [], 'and nothing of it is wrong')
  t.strictSame(wrongCold(coldSamples), [], 'nor of that')
  t.equal([...samples, ...coldSamples].filter(({ source }) => source === 'stale').length, 0, 'Postgres confirms all of them')
  t.ok(acknowledged > 5, `${acknowledged} moves were acknowledged`)
  t.strictSame(failed, { refused: 0, unknown: 0 }, 'and none failed')
  const limitMs = p99Ms + lateness.allowanceMs()
  for (const [what, measured] of Object.entries({ 'what is in memory': samples, 'what has to be loaded': coldSamples })) {
    const p99 = percentile(measured, 0.99)
    t.ok(p99 < limitMs, `p99 of ${what} ${p99.toFixed(0)} ms, of at most ${limitMs.toFixed(0)}`)
  }
  for (const [index, count] of timeouts().entries()) {
    const waited = count - (before[index] ?? 0)
    t.ok(waited <= maxTimeouts, `${waited} reads waited for Redis in vain`)
  }
  await isHeard(t, endurance)
}

function wrongAnswers({ history }: KnownPrompts, samples: Sample[]): string[] {
  const wrong = checkTrue(samples, history, { maxStalenessMs })
  return wrong.slice(0, maxShown).map(({ sample, reason }) => `${sample.url} ${sample.path}: ${reason}`)
}

function wrongCold(samples: Sample[]): Sample[] {
  return samples.filter(({ path, content }) => content !== path.replace(/.*cold-(\d+).*/, 'cold $1'))
}

/** An instance hears of what the other one has written, rather than finding out when it looks. */
async function isHeard(t: Tap, { writer, other, known }: Endurance): Promise<void> {
  const received = () => other.deps.redis?.counts.received ?? 0
  const before = received()
  const current = known.history.writesOf(movingPath).at(-1)?.value
  const move = current === 'moved 3' ? 4 : 3
  t.equal(await moveOnce(writer, known.history, move), 'acknowledged', 'a move after the fault')
  const acknowledgedMs = performance.now()
  await until('the other instance serves it', patienceMs, async () => {
    const { body } = await other.call(movingPath, { key: known.key })
    return body.content === `moved ${move}`
  })
  const ms = performance.now() - acknowledgedMs
  t.ok(ms < maxStalenessMs, `served after ${ms.toFixed(0)} ms`)
  await until('the message was heard', maxStalenessMs, () => received() > before)
}
