import { readFile } from 'node:fs/promises'
import t from 'tap'
import { lagSeconds } from '../../src/plugins/metrics.js'
import { freePort } from '../helpers/free-port.js'
import { readMetrics } from '../helpers/metrics.js'
import { openDatabase, type Service, startService, type Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { type Watched, watched } from '../helpers/watched.js'

const path = '/prompts/greeting/production'
const deadlineMs = 10_000
/** Longer than an answer may go unconfirmed, and shorter than a project counts as served. */
const pauseMs = 6_000

/** An instance that has what is asked for in its database and not in its memory, and no Redis. */
async function startCold(t: Teardown): Promise<{ instance: Service; database: Watched }> {
  const connection = await openDatabase(t)
  const env = { REDIS_URL: '' }
  const writer = await startService(t, { connection, env })
  await writer.push({ alias: 'production', prompts: ['greeting', 'other'].map((name) => ({ name, content: 'Hello' })) })
  const database = watched(connection)
  return { instance: await startService(t, { connection: database.connection, env, clock: writer.clock }), database }
}

/** Takes the database away, and resolves when the instance knows. */
async function lose({ instance, database }: { instance: Service; database: Watched }): Promise<void> {
  database.takeAway()
  instance.clock.advance(pauseMs)
  await instance.call(path)
  await until('it is known to be away', deadlineMs, () => instance.deps.database.isAway())
}

t.test('reads are counted by the level that answered, and those of what is not there', async (t) => {
  const { instance } = await startCold(t)
  const counts = async () => {
    const metrics = await readMetrics(instance)
    const levels = ['memory', 'redis', 'database'].map((level) => metrics(`promptsync_reads_total{level="${level}"}`))
    return [...levels, metrics('promptsync_read_misses_total')]
  }
  t.equal((await instance.call('/prompts/other/production')).status, 200, 'key and project are known from here on')
  const [memory = 0, redis = 0, loaded = 0, misses = 0] = await counts()
  t.strictSame([redis, misses], [0, 0])
  t.equal((await instance.call(path)).status, 200)
  t.strictSame(await counts(), [memory, 0, loaded + 1, 0])
  for (let read = 0; read < 3; read += 1) t.equal((await instance.call(path)).status, 200)
  t.strictSame(await counts(), [memory + 3, 0, loaded + 1, 0])
  t.equal((await instance.call('/prompts/nothing/production')).status, 404)
  t.strictSame((await counts()).at(-1), 1)
})

t.test('a database that goes away is told, and that it is back, and what was served stale meanwhile', async (t) => {
  const cold = await startCold(t)
  const { instance, database } = cold
  const state = async () => {
    const metrics = await readMetrics(instance)
    const ofDatabase = ['open', 'opened_total'].map((name) => metrics(`promptsync_breaker_${name}{dependency="database"}`))
    return [...ofDatabase, metrics('promptsync_stale_reads_total')]
  }
  await instance.call(path)
  t.strictSame(await state(), [0, 0, 0])
  t.ok(Number.isNaN((await readMetrics(instance))('promptsync_breaker_open{dependency="redis"}')), 'there is no Redis')
  await lose(cold)
  const [isOpen, opened, staleBefore = 0] = await state()
  t.strictSame([isOpen, opened], [1, 1])
  for (let read = 0; read < 3; read += 1) t.equal((await instance.call(path)).headers.get('x-promptsync-source'), 'stale')
  t.strictSame(await state(), [1, 1, staleBefore + 3])
  database.giveBack()
  await until('it is found to be back', deadlineMs, () => !instance.deps.database.isAway())
  const source = async () => (await instance.call(path)).headers.get('x-promptsync-source')
  await until('all is confirmed', deadlineMs, async () => (await source()) === 'registry')
  const [, , stale] = await state()
  t.equal(await source(), 'registry')
  t.strictSame(await state(), [0, 1, stale])
})

t.test('the lag of the epochs grows while nothing can be confirmed, and is of what is served', async (t) => {
  const cold = await startCold(t)
  const { instance, database } = cold
  const lag = async () => (await readMetrics(instance))('promptsync_epoch_lag_seconds')
  t.equal(await lag(), 0, 'nothing is held')
  await instance.call(path)
  t.ok((await lag()) < pauseMs / 1_000)
  await lose(cold)
  const lost = await lag()
  t.ok(lost >= pauseMs / 1_000 && lost < 2 * pauseMs, `${lost}`)
  instance.clock.advance(pauseMs)
  t.ok((await lag()) >= lost + pauseMs / 1_000)
  database.giveBack()
  await until('it is confirmed', deadlineMs, async () => (await lag()) < pauseMs / 1_000)
})

t.test('the longest lag is found among any number of projects, those that nobody asks for aside', async (t) => {
  const nowMs = 1_000_000
  const held = (usedMs: number, confirmedMs: number) => ({ usedAtMs: nowMs - usedMs, confirmedAtMs: nowMs - confirmedMs })
  t.equal(lagSeconds([], nowMs), 0)
  t.equal(lagSeconds([held(0, 1_500), held(59_999, 2_500), held(60_000, 90_000)], nowMs), 2.5)
  const many = Array.from({ length: 500_000 }, (_, index) => held(0, index % 1_000))
  t.equal(lagSeconds(many, nowMs), 0.999)
})

t.test('loads are counted with how long they took, those without an answer apart, and those under way', async (t) => {
  const cold = await startCold(t)
  const { instance, database } = cold
  const loads = async (outcome: 'done' | 'failed') => {
    const metrics = await readMetrics(instance)
    const of = (part: string, le = '') => metrics(`promptsync_load_duration_seconds_${part}{${le}outcome="${outcome}"}`)
    t.equal(of('bucket', 'le="+Inf",'), of('count'))
    return { count: of('count'), seconds: of('sum') }
  }
  const before = await loads('done')
  const held = database.holdNext('read_all')
  const reading = instance.call(path)
  await held.reached
  t.equal((await readMetrics(instance))('promptsync_loads_under_way'), 1)
  held.release()
  t.equal((await reading).status, 200)
  const metrics = await readMetrics(instance)
  t.equal(metrics('promptsync_loads_under_way'), 0)
  const after = await loads('done')
  t.ok(after.count > before.count && after.seconds > before.seconds, JSON.stringify({ before, after }))
  t.equal((await loads('failed')).count, 0)
  await lose(cold)
  t.ok((await loads('failed')).count > 0)
})

t.test('a Redis that has never been there is away, and was not lost', async (t) => {
  const instance = await startService(t, { env: { REDIS_URL: `redis://127.0.0.1:${await freePort()}` } })
  const metrics = await readMetrics(instance)
  t.equal(metrics('promptsync_breaker_open{dependency="redis"}'), 1)
  t.equal(metrics('promptsync_breaker_opened_total{dependency="redis"}'), 0)
  t.equal(metrics('promptsync_redis_subscribed'), 0)
  t.equal(metrics('promptsync_breaker_open{dependency="database"}'), 0)
})

t.test('the guide tells of every metric that there is, and of no other', async (t) => {
  const instance = await startService(t, { env: { REDIS_URL: `redis://127.0.0.1:${await freePort()}` } })
  const { text } = await instance.call('/metrics', { key: null })
  const there = [...text.matchAll(/^# TYPE (promptsync_\w+) /gm)].map(([, name]) => name)
  const guide = await readFile('docs/operating.md', 'utf8')
  const rows = [...guide.matchAll(/^\| (`promptsync_.*?) \|/gm)].flatMap(([, names = '']) => [...names.matchAll(/`(\w+)`/g)])
  t.ok(there.length > 10, 'found them')
  t.strictSame(rows.map(([, name]) => name).sort(), there.sort())
})

t.test('syncs are counted by what asked for them and how they ended, and sources by their state', async (t) => {
  const instance = await startService(t)
  const put = (name: string, body: object) =>
    instance.call(`/sources/${name}`, { method: 'PUT', body: { provider: 'inline', prefix: name, ...body } })
  const sync = async (name: string) => (await instance.call(`/sources/${name}/sync`, { method: 'POST' })).body.status
  await put('fine', { config: { files: { 'x.md': 'x' } } })
  await put('wrong', { config: { files: { 'x.md': '{% if %}' } } })
  await put('off', { config: { files: { 'x.md': 'x' } }, enabled: false })
  await until('the first syncs have ended', deadlineMs, async () => {
    const { items } = (await instance.call('/sources')).body
    return items.filter(({ status }: { status: string }) => status === 'pending').length === 1
  })
  t.equal(await sync('fine'), 'unchanged')
  t.equal(await sync('wrong'), 'failed')
  const metrics = await readMetrics(instance)
  const runs = (trigger: string, outcome: string) =>
    metrics(`promptsync_sync_duration_seconds_count{trigger="${trigger}",outcome="${outcome}"}`)
  t.strictSame([runs('setup', 'success'), runs('request', 'unchanged'), runs('request', 'failed')], [1, 1, 1])
  const inState = (state: string) => metrics(`promptsync_sources{state="${state}"}`)
  t.strictSame(['success', 'failed', 'pending', 'unreachable', 'disabled'].map(inState), [1, 1, 0, 0, 1])
  t.equal(metrics('promptsync_sync_runs_open{status="pending"}'), 0)

  await put('late', { config: { files: { 'x.md': 'x' } }, enabled: false })
  t.equal((await readMetrics(instance))('promptsync_sources{state="disabled"}'), 1, 'they are counted seldom')
  instance.clock.advance(pauseMs * 3)
  t.equal((await readMetrics(instance))('promptsync_sources{state="disabled"}'), 2)
})

t.test('a database that is away holds up no metrics: what was counted last is told', async (t) => {
  const cold = await startCold(t)
  const { instance } = cold
  await instance.call(path)
  const disabled = async () => (await readMetrics(instance))('promptsync_sources{state="disabled"}')
  t.equal(await disabled(), 0)
  await lose(cold)
  instance.clock.advance(pauseMs * 3)
  t.equal(await disabled(), 0)
})
