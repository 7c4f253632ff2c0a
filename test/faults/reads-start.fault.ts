import t from 'tap'
import { until } from '../helpers/until.js'
import { callUntilAnswered } from './helpers/calls.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { startPostgres } from './helpers/postgres-server.js'
import { adminKey, buildPackage, makeDirectory, startPromptsync } from './helpers/promptsync.js'
import { startRedis } from './helpers/redis-server.js'

const patienceMs = 30_000

t.setTimeout(120_000)
const [root, postgres] = await Promise.all([buildPackage(t), startPostgres(t)])

t.test('a start with Postgres and Redis away says so, tries again, and serves when Postgres comes', async (t) => {
  const databaseUrl = await postgres.createDatabase('late')
  await postgres.stop('fast')
  const redis = await startRedis(t)
  await redis.stop()
  const env = { DATABASE_URL: databaseUrl, REDIS_URL: redis.url, PROMPTSYNC_DATA_DIR: await makeDirectory(t) }
  const service = startPromptsync(t, root, { env })
  await until('it has tried twice', patienceMs, () => (service.stderr().match(/Trying again in/g) ?? []).length >= 2)
  t.match(service.stderr(), /^promptsync: The database of DATABASE_URL does not answer.* Trying again in 0\.5 s\.$/m)
  t.notMatch(service.stderr(), /\n +at /, 'no stack')
  t.notOk(service.hasExited())
  await postgres.start()
  await service.ready
  const push = { alias: 'production', prompts: [{ name: 'late', content: 'better than never' }] }
  t.equal((await callUntilAnswered(service.url, '/prompts', adminKey, { body: push })).status, 201)
  t.match(await callUntilAnswered(service.url, '/prompts/late/production', adminKey), {
    status: 200,
    body: { content: 'better than never' },
  })
  t.match(
    await callUntilAnswered(service.url, '/readyz', adminKey),
    { status: 200, body: { status: 'degraded' } },
    'Redis is away',
  )
  await redis.start()
  await until('Redis is found', patienceMs, async () => {
    const { body } = await callUntilAnswered(service.url, '/readyz', adminKey)
    return body.status === 'ok'
  })
})

t.test('a start while Postgres has no connection left, or answers nothing, waits for it', async (t) => {
  const databaseUrl = await postgres.createDatabase('crowded')
  const proxy = await startFaultProxy(t, databaseUrl)
  await postgres.exhaustConnections()
  const service = startPromptsync(t, root, { env: { DATABASE_URL: proxy.url, PROMPTSYNC_DATA_DIR: await makeDirectory(t) } })
  await until('it has tried', patienceMs, () => service.stderr().includes('Trying again in'))
  await proxy.set('reset')
  await postgres.releaseConnections()
  const tries = () => (service.stderr().match(/Trying again in/g) ?? []).length
  const before = tries()
  await until('it has tried again', patienceMs, () => tries() > before)
  t.notOk(service.hasExited())
  await proxy.set('pass')
  await service.ready
  t.equal((await callUntilAnswered(service.url, '/prompts', adminKey)).status, 200)
})

t.test('a signal ends a start that waits', async (t) => {
  const databaseUrl = await postgres.createDatabase('never')
  const proxy = await startFaultProxy(t, databaseUrl)
  await proxy.set('refuse')
  const service = startPromptsync(t, root, { env: { DATABASE_URL: proxy.url, PROMPTSYNC_DATA_DIR: await makeDirectory(t) } })
  await until('it has tried', patienceMs, () => service.stderr().includes('Trying again in'))
  service.child.kill('SIGTERM')
  t.match(await service.exited, { code: 143 })
})
