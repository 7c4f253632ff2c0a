import t from 'tap'
import { type Metrics, readMetrics } from '../helpers/metrics.js'
import { until } from '../helpers/until.js'
import { migrateDatabase, startInstance, untilLinked } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedis } from './helpers/redis-server.js'

const path = '/prompts/greeting/production'
const patienceMs = 30_000

t.setTimeout(120_000)
const [postgres, redis] = [await startPostgres(t), await startRedis(t)]
const databaseUrl = await postgres.createDatabase('metrics')
await migrateDatabase(databaseUrl)
const start = () => startInstance(t, { databaseUrl, redisUrls: [redis.url] })
const writer = await start()
await writer.push({ alias: 'production', prompts: [{ name: 'greeting', content: 'Hello' }] })
await writer.call(path)
const instance = await start()

function untilMetrics(what: string, isSo: (metrics: Metrics) => boolean): Promise<void> {
  return until(what, patienceMs, async () => isSo(await readMetrics(instance)))
}

async function losses(dependency: 'database' | 'redis'): Promise<number> {
  return (await readMetrics(instance))(`promptsync_breaker_opened_total{dependency="${dependency}"}`)
}

const isOpen = (dependency: 'database' | 'redis') => (metrics: Metrics) =>
  metrics(`promptsync_breaker_open{dependency="${dependency}"}`) === 1

t.test('a read that Redis answered is counted as one', async (t) => {
  const hits = async () => {
    const metrics = await readMetrics(instance)
    return ['memory', 'redis', 'database'].map((level) => metrics(`promptsync_reads_total{level="${level}"}`))
  }
  await instance.call('/prompts/nothing/production')
  const [memory = 0, shared = 0, database = 0] = await hits()
  t.equal((await instance.call(path)).body.content, 'Hello')
  t.strictSame(await hits(), [memory, shared + 1, database])
  t.equal((await instance.call(path)).body.content, 'Hello')
  t.strictSame(await hits(), [memory + 1, shared + 1, database])
})

for (const [how, begin, end] of [
  ['is stopped', redis.stop, redis.start],
  ['is killed', redis.kill, redis.start],
  ['is frozen', redis.freeze, redis.thaw],
] as const) {
  t.test(`a Redis that ${how} is told, once, and that it is back`, async (t) => {
    await untilLinked(instance)
    const before = await losses('redis')
    const metrics = await readMetrics(instance)
    t.notOk(isOpen('redis')(metrics))
    t.equal(metrics('promptsync_redis_subscribed'), 1)
    await begin()
    await untilMetrics('it is away', isOpen('redis'))
    await untilMetrics('nothing is heard', (now) => now('promptsync_redis_subscribed') === 0)
    t.equal((await instance.call(path)).status, 200)
    t.notOk(isOpen('database')(await readMetrics(instance)))
    await end()
    await untilMetrics('it is back', (now) => !isOpen('redis')(now) && now('promptsync_redis_subscribed') === 1)
    t.equal(await losses('redis'), before + 1)
  })
}

t.test('a Postgres that is stopped is told, with what is stale and for how long, and that it is back', async (t) => {
  await untilLinked(instance)
  const before = await readMetrics(instance)
  const lost = await losses('database')
  const failed = 'promptsync_load_duration_seconds_count{outcome="failed"}'
  t.notOk(isOpen('database')(before))
  await postgres.stop('fast')
  await untilMetrics('it is away', isOpen('database'))
  await until('what is served is stale', patienceMs, async () => {
    const { headers } = await instance.call(path)
    return headers.get('x-promptsync-source') === 'stale'
  })
  const metrics = await readMetrics(instance)
  t.ok(metrics('promptsync_stale_reads_total') > before('promptsync_stale_reads_total'), 'stale reads are counted')
  t.ok(metrics('promptsync_epoch_lag_seconds') >= 1, 'the lag is over PROMPTSYNC_MAX_STALENESS')
  t.ok(metrics(failed) > before(failed), 'loads without an answer are counted')
  t.notOk(isOpen('redis')(metrics))
  await postgres.start()
  await untilMetrics('it is back', (now) => !isOpen('database')(now))
  await untilMetrics('all is confirmed', (now) => now('promptsync_epoch_lag_seconds') < 1)
  t.equal(await losses('database'), lost + 1)
})
