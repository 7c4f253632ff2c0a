import t from 'tap'
import type { Answer } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { watchLateness } from './helpers/event-loop.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { makeKnown } from './helpers/known-prompts.js'
import { startPostgres } from './helpers/postgres-server.js'
import { checkTrue, type Load, percentile, type Sample, startLoad, statuses } from './helpers/steady-load.js'

const maxStalenessMs = 1_000
/** So many loads may be under way. */
const maxLoads = 128
const asked = 200
/** No read waits longer for what it has to load, after it has waited for its key and its project to be confirmed. */
const loadTimeoutMs = 2_500
const confirmMs = 500
const lockedMs = 4_000
/** More than there are connections for reads. */
const askers = 16
const p99Ms = 600
const patienceMs = 20_000
/** Half of them by an alias and half by `latest`, which take different ways. Without a canary each needs one load. */
const refs = ['live', 'latest']
const maxShown = 5

t.setTimeout(100_000)
const postgres = await startPostgres(t)
const databaseUrl = await postgres.createDatabase('reads')
await migrateDatabase(databaseUrl)
const proxy = await startFaultProxy(t, databaseUrl)
const instance = await startInstance(t, { databaseUrl: proxy.url })
const known = await makeKnown([instance])
const { key } = known

type Tap = Pick<typeof t, 'comment' | 'equal' | 'match' | 'ok' | 'strictSame'>
type Timed = Answer & { path: string; ms: number }

async function ask(path: string): Promise<Timed> {
  const fromMs = performance.now()
  const answer = await instance.call(path, { key })
  return { ...answer, path, ms: performance.now() - fromMs }
}

const unknownPaths = (count: number, name: string) =>
  Array.from({ length: count }, (_, index) => `/prompts/${name}-${index}/${refs[index % refs.length]}`)

function isRefusedForNow(t: Tap, answers: Timed[], ...codes: string[]): void {
  const wrong = answers.filter(
    ({ status, body, headers }) =>
      status !== 503 || !codes.includes(body.code) || !/^\d+$/.test(headers.get('retry-after') ?? ''),
  )
  t.strictSame(
    wrong.slice(0, maxShown).map(({ path, status, text }) => `${path}: ${status} ${text}`),
    [],
    `${answers.length} are 503 ${codes.join(' or ')} and say when to try again`,
  )
}

function isServed(t: Tap, samples: readonly Sample[], allowanceMs: number): void {
  t.strictSame(statuses(samples), { 200: samples.length }, 'everything known is answered')
  const wrong = checkTrue(samples, known.history, { maxStalenessMs })
  t.strictSame(
    wrong.slice(0, maxShown).map(({ sample, reason }) => `${sample.path}: ${reason}`),
    [],
    'and nothing of it is wrong',
  )
  const p99 = percentile(samples, 0.99)
  t.ok(p99 < p99Ms + allowanceMs, `p99 ${p99.toFixed(0)} ms, of at most ${(p99Ms + allowanceMs).toFixed(0)}`)
}

const startKnown = (t: Pick<typeof import('tap').t, 'teardown'>): Load =>
  startLoad(t, { urls: [instance.url], paths: known.paths, key })

async function isWellAgain(t: Tap, paths: string[]): Promise<void> {
  await until('all is confirmed again', patienceMs, async () => {
    const { status, headers } = await ask('/prompts/greeting/production?canary=off')
    return status === 200 && headers.get('x-promptsync-source') === 'registry' && !instance.deps.database.isAway()
  })
  const wrong: string[] = []
  for (const path of paths) {
    const { status, text } = await ask(path)
    if (status !== 404) wrong.push(`${path}: ${status} ${text}`)
  }
  t.strictSame(wrong.slice(0, maxShown), [], 'what is unknown is said to be')
  t.equal(instance.deps.cache.flights.underWay(), 0, 'no load is left')
  const pushed = { alias: 'after', prompts: [{ name: 'after', content: 'after' }] }
  await instance.push(pushed)
  t.equal((await ask('/prompts/after/after')).body.content, 'after', 'and what is written is served')
}

t.test('of more loads than may wait those over the bound are refused at once, and the others get their answers', async (t) => {
  const lateness = watchLateness(t)
  const load = startKnown(t)
  await load.until(({ status }) => status === 200, patienceMs)
  // The key and the project are confirmed, so that nothing but prompts is loaded.
  await isWellAgain(t, [])
  await proxy.set('half-open')
  const paths = unknownPaths(asked, 'held')
  const refused: Timed[] = []
  const answers = paths.map(async (path) => {
    const answer = await ask(path)
    if (answer.body.code === 'read.busy') refused.push(answer)
    return answer
  })
  await until('those over the bound are answered', patienceMs, () => refused.length >= asked - maxLoads).finally(() =>
    proxy.set('pass'),
  )
  t.equal(refused.length, asked - maxLoads)
  isRefusedForNow(t, refused, 'read.busy')
  const slowestMs = Math.max(...refused.map(({ ms }) => ms))
  t.comment(`the slowest refusal took ${slowestMs.toFixed(0)} ms, most of it for asking so many at once from this process`)
  const all = await Promise.all(answers)
  const waited = all.filter((answer) => !refused.includes(answer))
  t.strictSame([...new Set(waited.map(({ status }) => status))], [404], `${waited.length} waited for their answer`)
  const samples = await load.stop()
  isServed(t, samples, lateness.allowanceMs() + slowestMs)
  await isWellAgain(t, paths)
})

t.test('while no answer of Postgres comes, loads end in time and make room, and what is known is answered', async (t) => {
  const lateness = watchLateness(t)
  await isWellAgain(t, [])
  const load = startKnown(t)
  await load.until(({ status }) => status === 200, patienceMs)
  await proxy.set('half-open')
  const paths = unknownPaths(asked, 'lost')
  const answers = await Promise.all(paths.map(ask)).finally(() => proxy.set('pass'))
  const busy = answers.filter(({ body }) => body.code === 'read.busy')
  t.ok(busy.length > 0, `${busy.length} were over the bound`)
  isRefusedForNow(t, busy, 'read.busy')
  isRefusedForNow(
    t,
    answers.filter((answer) => !busy.includes(answer)),
    'database.unavailable',
  )
  const slowestMs = Math.max(...answers.map(({ ms }) => ms))
  const limitMs = confirmMs + loadTimeoutMs + lateness.allowanceMs()
  t.ok(slowestMs < limitMs, `all were answered after ${slowestMs.toFixed(0)} ms, of at most ${limitMs.toFixed(0)}`)
  isServed(t, await load.stop(), lateness.allowanceMs())
  await isWellAgain(t, paths)
})

t.test('while a statement hangs behind a lock, what is known is answered, and what is not is refused in time', async (t) => {
  const lateness = watchLateness(t)
  const session = await postgres.connect('reads')
  await isWellAgain(t, [])
  const load = startKnown(t)
  await load.until(({ status }) => status === 200, patienceMs)
  await session.query('BEGIN; LOCK TABLE versions IN ACCESS EXCLUSIVE MODE')
  const fromMs = performance.now()
  const paths = unknownPaths(askers * asked, 'locked')
  const answers: Timed[] = []
  const asking = async (asker: number) => {
    for (let turn = asker; performance.now() - fromMs < lockedMs && turn < paths.length; turn += askers) {
      answers.push(await ask(paths[turn] ?? ''))
    }
  }
  const hanging = async () => {
    const { rows } = await session.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    )
    t.comment(`${rows[0]?.count} sessions hung`)
  }
  await Promise.all(Array.from({ length: askers }, (_, asker) => asking(asker)))
    .then(hanging)
    .finally(() => session.query('ROLLBACK'))
  isRefusedForNow(t, answers, 'database.unavailable', 'read.busy')
  const slowestMs = Math.max(...answers.map(({ ms }) => ms))
  const limitMs = confirmMs + loadTimeoutMs + lateness.allowanceMs()
  t.ok(slowestMs < limitMs, `${answers.length} were answered after ${slowestMs.toFixed(0)} ms, of at most ${limitMs.toFixed(0)}`)
  await isWellAgain(t, paths.slice(0, asked))
  const samples = await load.stop()
  t.comment(`${samples.length} known, of which ${samples.filter(({ source }) => source === 'stale').length} are marked`)
  isServed(t, samples, lateness.allowanceMs())
})
