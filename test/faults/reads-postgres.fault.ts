import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import t from 'tap'
import type { Answer, Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { type Lateness, watchLateness } from './helpers/event-loop.js'
import { type Fault, startFaultProxy } from './helpers/fault-proxy.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { makeKnown, moveOnce, movingPath } from './helpers/known-prompts.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedis } from './helpers/redis-server.js'
import { checkTrue, type Load, percentile, type Sample, startLoad, statuses } from './helpers/steady-load.js'

const maxStalenessMs = 1_000
/** A read waits 250 ms for the confirmation of a project, and as long for that of its key. */
const p99Ms = 600
const recoveryMs = 10_000
const patienceMs = 30_000
/** A write to a database that is known to be away is refused in this time. */
const refusedMs = 2_000
/** A write that was sent before that is known is answered in this time. */
const underWayMs = 10_000
const maxShown = 5
/** At 200 a second. */
const requestsInFault = 400

t.setTimeout(180_000)
const postgres = await startPostgres(t)
const databaseUrl = await postgres.createDatabase('reads')
await migrateDatabase(databaseUrl)
const proxy = await startFaultProxy(t, databaseUrl)
const redis = await startRedis(t)
const start = () => startInstance(t, { databaseUrl: proxy.url, redisUrls: [redis.url] })
const [writer, other] = [await start(), await start()]
const known = await makeKnown([writer, other])
let unknowns = 0

type Tap = Pick<typeof t, 'equal' | 'match' | 'notOk' | 'ok' | 'strictSame' | 'teardown'>
type FaultOfPostgres = {
  begin(): Promise<void>
  end(): Promise<void>
  /** Whether reads cannot be confirmed while it lasts. */
  reads: 'confirmed' | 'unconfirmed'
}

/** Reads while the fault lasts, and holds the service to its promises: then, and once it is over. */
async function endure(t: Tap, fault: FaultOfPostgres): Promise<void> {
  await untilConfirmed()
  const releases = await countReleases()
  const { paths, key } = known
  const lateness = watchLateness(t)
  const load = startLoad(t, { urls: [writer.url, other.url], paths, key })
  await load.until(({ status }) => status === 200, patienceMs)
  await fault.begin()
  const begunMs = performance.now()
  let endedMs = 0
  const codes = await behavesWhile(t, fault, load).finally(() => {
    endedMs = performance.now()
    return fault.end()
  })
  await untilConfirmed()
  const samples = await load.stop()

  t.strictSame(statuses(samples), { 200: samples.length }, 'everything known is answered')
  t.strictSame(wrongAnswers(samples), [], 'and nothing of it is wrong')
  isQuick(t, samples, lateness)
  if (fault.reads === 'unconfirmed') t.strictSame(unmarked(samples, begunMs + maxStalenessMs, endedMs), [], 'what is old says so')
  else t.strictSame(marked(samples), [], 'all could be confirmed')
  if (!codes.includes('write.unknown')) t.equal(await countReleases(), releases, 'what was refused has changed nothing')
  await writesAgain(t)
}

/** Asks for everything while the fault lasts; answers the codes of the writes. */
async function behavesWhile(t: Tap, { reads }: FaultOfPostgres, load: Load): Promise<string[]> {
  const from = load.samples.length
  if (reads === 'unconfirmed') {
    await load.until(({ source, ageSeconds }) => source === 'stale' && (ageSeconds ?? 0) >= 1, patienceMs)
    await until('it is known to be away', patienceMs, () => [writer, other].every(({ deps }) => deps.database.isAway()))
    await answersWithoutDatabase(t, writer)
  }
  const codes = await refusesWrites(t, writer)
  await until('the fault has lasted', patienceMs, () => load.samples.length - from >= requestsInFault)
  return codes
}

function isQuick(t: Tap, samples: Sample[], lateness: Lateness): void {
  const p99 = percentile(samples, 0.99)
  const limitMs = p99Ms + lateness.allowanceMs()
  t.ok(p99 < limitMs, `p99 ${p99.toFixed(0)} ms, of at most ${limitMs.toFixed(0)}`)
}

function wrongAnswers(samples: Sample[]): string[] {
  const wrong = checkTrue(samples, known.history, { maxStalenessMs })
  return wrong.slice(0, maxShown).map(({ sample, reason }) => `${sample.url} ${sample.path}: ${reason}`)
}

/** Answers that say nothing of their age though nothing could be confirmed for too long. */
function unmarked(samples: Sample[], fromMs: number, untilMs: number): string[] {
  const wrong = samples.filter(
    ({ startMs, endMs, source, ageSeconds }) =>
      startMs > fromMs && endMs < untilMs && (source !== 'stale' || ageSeconds === null || ageSeconds < 1),
  )
  return wrong.slice(0, maxShown).map(({ path, source, ageSeconds }) => `${path}: ${source} ${ageSeconds}`)
}

function marked(samples: Sample[]): string[] {
  return samples.filter(({ source }) => source === 'stale').map(({ path, ageSeconds }) => `${path} ${ageSeconds}`)
}

/** Resolves when both instances answer as if nothing had been. */
async function untilConfirmed(): Promise<void> {
  const isUnmarked = async (instance: Service) => {
    const { status, headers } = await instance.call(movingPath, { key: known.key })
    return status === 200 && headers.get('x-promptsync-source') === 'registry' && !headers.has('age')
  }
  await until('all is confirmed again', recoveryMs, async () =>
    (await Promise.all([writer, other].map(isUnmarked))).every(Boolean),
  )
}

let session: pg.Client | null = null

/** How many releases there are, asked past the instances. */
async function countReleases(): Promise<number> {
  const count = async () => {
    session ??= await postgres.connect('reads')
    const { rows } = await session.query<{ count: number }>('SELECT count(*)::int AS count FROM releases')
    return rows[0]?.count ?? 0
  }
  return count().catch(() => {
    // The session from before a restart.
    session = null
    return count()
  })
}

/** What could not be confirmed for PROMPTSYNC_MAX_STALENESS is marked. */
const staleTimeoutMs = 10_000

/** What an instance answers that has nobody to ask. */
async function answersWithoutDatabase(t: Tap, instance: Service): Promise<void> {
  unknowns += 1
  const refused = (answer: Answer, what: string) => {
    t.equal(answer.status, 503, what)
    t.match(answer.headers.get('retry-after') ?? '', /^\d+$/, 'says when to try again')
  }
  const name = `unheard-${unknowns}`
  refused(await instance.call(`/prompts/${name}/production`, { key: known.key }), 'an unknown prompt by an alias')
  refused(await instance.call(`/prompts/${name}/latest`, { key: known.key }), 'an unknown prompt by latest')
  refused(await instance.call('/prompts/greeting/unheard', { key: known.key }), 'an unknown ref')
  refused(await instance.call(movingPath, { key: `ps_unheard_${unknowns}` }), 'an unknown key')
  refused(await instance.call(movingPath, { project: `unheard-${unknowns}` }), 'an unknown project')
  refused(await instance.call('/aliases', { key: known.key }), 'a list')
  const fallback = await instance.call(`/prompts/${name}/production?fallback=default`, { key: known.key })
  t.match(fallback, { status: 200, body: { source: 'fallback' } }, 'a fallback')
  const last = () => instance.call(`${movingPath}?fallback=default`, { key: known.key })
  t.match(await last(), { status: 200, body: { source: 'registry' } }, 'the last known comes before what is built in')
  await until('it says so', staleTimeoutMs, async () => (await last()).headers.get('x-promptsync-source') === 'stale')
  t.equal((await instance.call('/livez', { key: null })).status, 200, 'it lives')
  t.match(await instance.call('/readyz', { key: null }), { status: 200, body: { status: 'degraded' } }, 'and says how')
}

/** Writes of all kinds are refused as ones to try again; answers the codes. */
async function refusesWrites(t: Tap, instance: Service): Promise<string[]> {
  const push = { alias: 'production', prompts: [{ name: 'refused', content: `refused ${unknowns}` }] }
  const writes = [
    instance.call('/prompts', { body: push }),
    instance.call('/aliases/live', { method: 'PUT', body: { version: 'first' } }),
    instance.call('/keys', { body: { name: 'refused', scopes: ['prompts:read'] } }),
  ]
  const begunMs = performance.now()
  const answers = await Promise.all(writes)
  const ms = performance.now() - begunMs
  for (const { status, headers, body } of answers) {
    t.equal(status, 503, body.code)
    t.match(headers.get('retry-after') ?? '', /^\d+$/, 'says when to try again')
  }
  t.ok(ms < refusedMs, `the writes were refused after ${ms.toFixed(0)} ms`)
  return answers.map(({ body }) => body.code)
}

/** Once the fault is over an unknown prompt is one, and a write is served here and there. */
async function writesAgain(t: Tap): Promise<void> {
  t.equal(
    (await writer.call(`/prompts/unheard-${unknowns}/production`, { key: known.key })).status,
    404,
    'unknown, now that this can be told',
  )
  const current = known.history.writesOf(movingPath).at(-1)?.value
  const move = current === 'moved 3' ? 4 : 3
  t.equal(await moveOnce(writer, known.history, move), 'acknowledged', 'a move after the fault')
  const acknowledgedMs = performance.now()
  t.equal((await writer.call(movingPath, { key: known.key })).body.content, `moved ${move}`, 'at once where it was written')
  await until('the other instance serves it', patienceMs, async () => {
    const { body } = await other.call(movingPath, { key: known.key })
    return body.content === `moved ${move}`
  })
  const ms = performance.now() - acknowledgedMs
  t.ok(ms < maxStalenessMs, `served by the other after ${ms.toFixed(0)} ms`)
}

const way = (fault: Fault): FaultOfPostgres => ({
  begin: () => proxy.set(fault),
  end: () => proxy.set('pass'),
  reads: 'unconfirmed',
})

t.test('while Postgres is stopped', (t) =>
  endure(t, { begin: () => postgres.stop('fast'), end: postgres.start, reads: 'unconfirmed' }),
)
t.test('while Postgres has crashed', (t) =>
  endure(t, { begin: () => postgres.stop('immediate'), end: postgres.start, reads: 'unconfirmed' }),
)
t.test('while Postgres is frozen', (t) => endure(t, { begin: postgres.freeze, end: postgres.thaw, reads: 'unconfirmed' }))
t.test('while Postgres has no connection left', (t) =>
  endure(t, { begin: postgres.exhaustConnections, end: postgres.releaseConnections, reads: 'unconfirmed' }),
)
t.test('while Postgres is read-only', (t) =>
  endure(t, {
    begin: () => postgres.setReadOnly('reads', 'on'),
    end: () => postgres.setReadOnly('reads', 'off'),
    reads: 'confirmed',
  }),
)
t.test('while Postgres restarts, and while it is slow, everything known is answered', async (t) => {
  await untilConfirmed()
  const lateness = watchLateness(t)
  const load = startLoad(t, { urls: [writer.url, other.url], paths: known.paths, key: known.key })
  await load.until(({ status }) => status === 200, patienceMs)
  await postgres.stop('fast')
  await postgres.start()
  await untilConfirmed()
  const restarted = load.samples.length
  await proxy.set({ latencyMs: 100 })
  await until('it was slow for long', patienceMs, () => load.samples.length - restarted >= requestsInFault).finally(() =>
    proxy.set('pass'),
  )
  const samples = await load.stop()
  t.strictSame(statuses(samples), { 200: samples.length }, 'everything known is answered')
  t.strictSame(wrongAnswers(samples), [], 'and nothing of it is wrong')
  isQuick(t, samples, lateness)
  t.strictSame(marked(samples.slice(restarted)), [], 'what is slow still confirms')
  await writesAgain(t)
})

t.test('a write that is under way when Postgres freezes is answered all the same', async (t) => {
  await untilConfirmed()
  const releases = await countReleases()
  await postgres.freeze()
  const push = { alias: 'production', prompts: [{ name: 'under-way', content: 'is it there?' }] }
  const answered = writer.call('/prompts', { body: push })
  const late = new AbortController()
  const answer = await Promise.race([answered, delay(underWayMs, null, { signal: late.signal })]).finally(postgres.thaw)
  late.abort()
  t.equal(answer?.status, 503, answer?.body.code ?? `no answer in ${underWayMs} ms`)
  await answered
  await untilConfirmed()
  if (answer?.body.code !== 'write.unknown') t.equal(await countReleases(), releases, 'what was refused has changed nothing')
  await writesAgain(t)
})

t.test('while nothing comes through to Postgres', (t) => endure(t, way('black-hole')))
t.test('while the answers of Postgres are lost', (t) => endure(t, way('half-open')))
t.test('while Postgres answers with what is no protocol', (t) => endure(t, way('garbage')))
t.test('while the connections to Postgres are reset', (t) => endure(t, way('reset')))
t.test('while nothing listens for Postgres', (t) => endure(t, way('refuse')))
