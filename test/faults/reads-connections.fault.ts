import t from 'tap'
import { connectPostgres, DatabaseUnfit } from '../../src/database/connect.js'
import { until } from '../helpers/until.js'
import { callUntilAnswered } from './helpers/calls.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import { adminKey, buildPackage, makeDirectory, startPromptsync } from './helpers/promptsync.js'

const patienceMs = 30_000
/** For reads, and in all; what the documents promise of an instance. */
const [readConnections, connections] = [4, 12]
/** Within this time a server has ended what nobody waits for any more. */
const endedMs = 1_000
const readTimeoutMs = 100

t.setTimeout(120_000)
const [root, postgres] = await Promise.all([buildPackage(t), startPostgres(t)])
const superuser = await postgres.connect('postgres')

const limitConnections = (limit: number) => superuser.query(`ALTER ROLE promptsync CONNECTION LIMIT ${limit}`)

/** How many sessions of a database the server has of the service, and how many of them wait for a lock. */
async function countSessions(database: string): Promise<{ all: number; waiting: number }> {
  const { rows } = await superuser.query<{ all: number; waiting: number }>(
    `SELECT count(*)::int AS all, count(*) FILTER (WHERE wait_event_type = 'Lock')::int AS waiting
     FROM pg_stat_activity WHERE usename = 'promptsync' AND datname = $1`,
    [database],
  )
  return rows[0] ?? { all: 0, waiting: 0 }
}

/** Keeps a table of a database from being read until the answer is called. */
async function lockTable(database: string): Promise<() => Promise<unknown>> {
  const session = await postgres.connect(database)
  await session.query('BEGIN; LOCK TABLE projects IN ACCESS EXCLUSIVE MODE')
  return () => session.query('ROLLBACK')
}

t.test('a start that gets some connections and not all keeps none, and serves once there are enough', async (t) => {
  const url = await postgres.createDatabase('few')
  await limitConnections(3)
  t.teardown(() => limitConnections(-1))
  const error = await connectPostgres(url).then(null, (reason: unknown) => reason)
  t.ok(error instanceof DatabaseUnfit, String(error))
  t.equal(
    (error as Error).message,
    `DATABASE_URL: the server has too few connections left. An instance needs ${connections} of them.`,
  )
  await until('none is kept', patienceMs, async () => (await countSessions('few')).all === 0)

  const service = startPromptsync(t, root, { env: { DATABASE_URL: url, PROMPTSYNC_DATA_DIR: await makeDirectory(t) } })
  await until('it has tried twice', patienceMs, () => (service.stderr().match(/Trying again in/g) ?? []).length >= 2)
  t.match(service.stderr(), /^promptsync: DATABASE_URL: the server has too few connections left.* Trying again in 0\.5 s\.$/m)
  t.notMatch(service.stderr(), /\n +at /, 'no stack')
  await limitConnections(connections)
  await service.ready
  t.match(await callUntilAnswered(service.url, '/readyz', adminKey), { status: 200, body: { status: 'ok' } })
  t.equal((await callUntilAnswered(service.url, '/prompts', adminKey)).status, 200)
})

t.test('a read that is waited for no longer ends on the server, too', async (t) => {
  const url = await postgres.createDatabase('locked')
  await migrateDatabase(url)
  const connection = await connectPostgres(url)
  t.teardown(() => connection.close())
  const read = (timeoutMs: number) =>
    connection.read({ name: 'locked', text: 'SELECT count(*)::text AS answer FROM projects' }, [], timeoutMs)
  t.equal(await read(readTimeoutMs), '0')
  const unlock = await lockTable('locked')
  for (let round = 1; round <= 3; round += 1) {
    const reads = Array.from({ length: readConnections }, () => read(readTimeoutMs))
    for (const { status, reason } of (await Promise.allSettled(reads)) as PromiseRejectedResult[]) {
      t.equal(status, 'rejected')
      t.match(reason, { message: 'Query read timeout' })
    }
    await until(`round ${round}: none waits for the lock`, endedMs, async () => (await countSessions('locked')).waiting === 0)
  }
  t.ok((await countSessions('locked')).all <= connections)
  const longer = read(10 * endedMs)
  await until('a read with a longer limit waits', patienceMs, async () => (await countSessions('locked')).waiting === 1)
  await unlock()
  t.equal(await longer, '0', 'and has its answer')
  t.equal(await read(readTimeoutMs), '0')
})

t.test('while a table is locked an instance holds no more connections than ever, and reads again afterwards', async (t) => {
  const url = await postgres.createDatabase('held')
  await migrateDatabase(url)
  const instance = await startInstance(t, { databaseUrl: url, env: { PROMPTSYNC_MAX_STALENESS: '200ms' } })
  await instance.push({ alias: 'production', prompts: [{ name: 'known', content: 'as ever' }] })
  const path = '/prompts/known/production'
  t.equal((await instance.call(path)).body.content, 'as ever')
  const failed = () => instance.deps.cache.counts.loads.failed.counts().count
  const before = failed()
  const unlock = await lockTable('held')
  let most = 0
  await until('a dozen reads had no answer', patienceMs, async () => {
    most = Math.max(most, (await countSessions('held')).all)
    return failed() - before >= 12
  })
  t.ok(most <= connections, `${most} sessions at most`)
  t.match((await instance.call(path)).body, { content: 'as ever' }, 'what is known is served')
  await unlock()
  await until('all is confirmed again', patienceMs, async () => {
    const { status, headers } = await instance.call(path)
    return status === 200 && headers.get('x-promptsync-source') === 'registry'
  })
  t.equal((await instance.call('/prompts/unknown/production')).status, 404)
})
