import t from 'tap'
import type { Connection } from '../../src/database/connect.js'
import type { Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import { withRedis } from './helpers/redis-server.js'
import { redisKinds, type SharedRedis, startSharedRedis } from './helpers/shared-redis.js'

/** The longest that may be set, so that no read asks by itself whether what it answers is current. */
const maxStaleness = '10m'
/** So long the background check, which comes every second, would have had to see what was missed. */
const missedMs = 2_500
/** What was missed is served this soon after the subscription stands. */
const caughtUpMs = 500
const patienceMs = 20_000

t.setTimeout(100_000)
const postgres = await startPostgres(t)

/** Keeps the answer of one reading of the epochs from coming in: the background check waits for it, and makes no other. */
function holdEpochs() {
  let readings = 0
  let release = () => {}
  let held: Promise<void> | null = null
  let isWanted = false
  const watch = (connection: Connection): Connection => ({
    ...connection,
    async read(statement, values, timeoutMs) {
      if (statement.name === 'read_epochs') readings += 1
      const answer = await connection.read(statement, values, timeoutMs)
      if (statement.name !== 'read_epochs' || !isWanted) return answer
      isWanted = false
      held = new Promise((resolve) => {
        release = resolve
      })
      await held
      return answer
    },
  })
  const holdNext = async () => {
    isWanted = true
    await until('a reading is held', patienceMs, () => !isWanted)
  }
  return { watch, holdNext, release: () => release(), readings: () => readings }
}

/** Cuts every subscription, and lets nobody subscribe or publish; all else goes on. */
async function cutMessages({ nodes }: SharedRedis): Promise<void> {
  await Promise.all(
    nodes.map(({ port }) =>
      withRedis(port, async (client) => {
        await client.call('ACL', 'SETUSER', 'default', 'resetchannels')
        await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      }),
    ),
  )
}

async function allowMessages({ nodes }: SharedRedis): Promise<void> {
  await Promise.all(nodes.map(({ port }) => withRedis(port, (client) => client.call('ACL', 'SETUSER', 'default', 'allchannels'))))
}

const subscriberOf = ({ deps }: Service) => deps.redis?.state().subscriber

async function expectOk(instance: Service, path: string, options: object): Promise<void> {
  const { status, text } = await instance.call(path, options)
  if (status !== 200 && status !== 201) throw new Error(`${path} answered ${status}: ${text}`)
}

for (const kind of redisKinds) {
  t.test(
    `what an instance did not hear of while its subscription was cut it serves once that stands again, ${kind}`,
    async (t) => {
      const redis = await startSharedRedis(t, kind)
      const databaseUrl = await postgres.createDatabase(`rejoin_${kind}`)
      await migrateDatabase(databaseUrl)
      const common = { databaseUrl, redisUrls: redis.urls, env: { PROMPTSYNC_MAX_STALENESS: maxStaleness } }
      const epochs = holdEpochs()
      const writer = await startInstance(t, common)
      const other = await startInstance(t, { ...common, watch: epochs.watch })
      t.teardown(epochs.release)
      for (const version of ['one', 'two']) {
        const prompts = ['moved', 'leak'].map((name) => ({ name, content: `${name} ${version}` }))
        await writer.push({ version, prompts })
      }
      await expectOk(writer, '/aliases/live', { method: 'PUT', body: { version: 'one' } })
      const statusOf = async (path: string) => (await other.call(path)).status
      const read = async (instance: Service) => {
        const { body, headers } = await instance.call('/prompts/moved/live')
        return [body.content, headers.get('x-promptsync-source')]
      }
      t.strictSame(await read(other), ['moved one', 'registry'])
      t.equal(await statusOf('/prompts/leak/two'), 200)

      await epochs.holdNext()
      await cutMessages(redis)
      await until('the subscription is lost', patienceMs, () => subscriberOf(other) === 'down')
      const before = epochs.readings()
      const heard = other.deps.redis?.counts.received
      await expectOk(writer, '/aliases/live', { method: 'PUT', body: { version: 'two' } })
      await expectOk(writer, '/prompts/leak/two/purge', { body: { reason: 'a test of catching up' } })
      const writtenMs = performance.now()
      t.strictSame(await read(writer), ['moved two', 'registry'])
      let missed = 0
      await until('nobody tells the other for long', patienceMs, async () => {
        const [content] = await read(other)
        if (content === 'moved one') missed += 1
        return performance.now() - writtenMs > missedMs
      })
      t.strictSame(await read(other), ['moved one', 'registry'], `${missed} reads knew nothing of it`)
      t.equal(epochs.readings(), before, 'and the background check has asked for nothing')

      await allowMessages(redis)
      await until('the subscription stands', patienceMs, () => subscriberOf(other) === 'up')
      const joinedMs = performance.now()
      await until('the other serves it', patienceMs, async () => (await read(other))[0] === 'moved two')
      const ms = performance.now() - joinedMs
      t.ok(ms < caughtUpMs, `the move was served ${ms.toFixed(0)} ms after the subscription stood`)
      t.equal(await statusOf('/prompts/leak/two'), 410, 'and what was purged is gone')
      t.equal(epochs.readings(), before + 1, 'by one query')
      t.equal(other.deps.redis?.counts.received, heard, 'and no message')

      epochs.release()
      await expectOk(writer, '/aliases/live', { method: 'PUT', body: { version: 'one' } })
      await until('it hears again', patienceMs, async () => (await read(other))[0] === 'moved one')
      t.ok((other.deps.redis?.counts.received ?? 0) > (heard ?? 0))
    },
  )
}
