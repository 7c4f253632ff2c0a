import t from 'tap'
import type { Answer, Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import type { RedisCluster } from './helpers/redis-cluster.js'
import { redisKinds, type SharedRedis, startSharedRedis } from './helpers/shared-redis.js'

const heardMs = 1_000
const patienceMs = 15_000
const dayMs = 24 * 60 * 60 * 1_000
const mebibyte = 1024 ** 2
const contentKeys = 'promptsync:1:*'

t.setTimeout(120_000)
const postgres = await startPostgres(t)
let databases = 0

async function makeDatabase(): Promise<string> {
  databases += 1
  const url = await postgres.createDatabase(`shared_${databases}`)
  await migrateDatabase(url)
  return url
}

type Tap = Pick<typeof t, 'equal' | 'ok' | 'strictSame' | 'teardown'>

/** A database and a Redis, with instances on them as they are asked for. */
async function install(t: Tap, redisUrls: string[]) {
  const databaseUrl = await makeDatabase()
  return { start: () => startInstance(t, { databaseUrl, redisUrls }) }
}

const contentOf = (answer: Answer) => [answer.status, answer.body.content]
const redisHits = ({ deps }: Service) => deps.cache.counts.hits.redis

async function move(instance: Service, version: string): Promise<void> {
  const { status, text } = await instance.call('/aliases/live', { method: 'PUT', body: { version } })
  if (status !== 200 && status !== 201) throw new Error(text)
}

/** Lets an instance know its key and a project, so that it asks Redis for contents: what it reads of all at once is Postgres'. */
async function knows(instance: Service, project = 'default'): Promise<Service> {
  const { status, text } = await instance.call('/aliases', { project })
  if (status !== 200) throw new Error(text)
  return instance
}

/** Resolves when an instance answers so, and says in the test that this was soon enough. */
async function isSoon(t: Tap, what: string, isSo: () => Promise<boolean>): Promise<void> {
  const fromMs = performance.now()
  await until(what, patienceMs, isSo)
  const ms = performance.now() - fromMs
  t.ok(ms < heardMs, `${what} after ${ms.toFixed(0)} ms`)
}

async function readAll({ client, keys }: SharedRedis, pattern = contentKeys): Promise<Map<string, Buffer>> {
  const values = new Map<string, Buffer>()
  for (const key of await keys(pattern)) values.set(key, (await client.getBuffer(key)) ?? Buffer.alloc(0))
  return values
}

type Promised = (t: Tap, redis: SharedRedis) => Promise<void>
const promised: [title: string, holds: Promised][] = []

/** Whatever instances share, one server or a Cluster, this holds. */
function withEither(title: string, holds: Promised): void {
  promised.push([title, holds])
}

withEither('two installations that share a Redis never see each other', async (t, redis) => {
  const [ours, theirs] = [await install(t, redis.urls), await install(t, redis.urls)]
  const [first, second] = [await ours.start(), await theirs.start()]
  for (const [instance, owner] of [
    [first, 'ours'],
    [second, 'theirs'],
  ] as const) {
    await instance.call('/projects', { body: { slug: 'acme' } })
    for (const project of ['default', 'acme']) {
      for (const version of ['one', 'two']) {
        const prompts = [{ name: 'greeting', content: `${owner} in ${project}, ${version}` }]
        await instance.push({ version, alias: 'live', prompts }, { project })
      }
    }
  }
  const refs = ['live', 'one', 'two', 'latest', 'v1', 'r2']
  const readAs = async (instance: Service) => {
    for (const project of ['default', 'acme']) await knows(instance, project)
    return Promise.all(
      refs.flatMap((ref) =>
        ['default', 'acme'].map(async (project) => (await instance.call(`/prompts/greeting/${ref}`, { project })).body.content),
      ),
    )
  }
  const own = await readAs(second)
  t.ok(
    own.every((content) => content.startsWith('theirs')),
    own.join('; '),
  )
  t.ok((await readAs(first)).every((content) => content.startsWith('ours')))
  t.strictSame(await readAs(await theirs.start()), own, 'an instance that begins with what Redis has')

  const heard = second.deps.redis?.counts.received
  await move(first, 'one')
  const purged = await first.call('/prompts/greeting/two/purge', { body: { reason: 'a test of separation' } })
  t.equal(purged.status, 200)
  t.equal((await first.call('/prompts/greeting/two')).status, 410)
  const beginner = await theirs.start()
  t.strictSame(await readAs(second), own, 'whatever is moved and purged elsewhere')
  t.strictSame(await readAs(beginner), own)
  t.ok(redisHits(beginner) > 0, 'their own values are still in Redis')
  t.equal(second.deps.redis?.counts.received, heard, 'nothing was heard of it')
})

withEither('what is corrupt or foreign in Redis is ignored, and replaced', async (t, redis) => {
  const { start } = await install(t, redis.urls)
  const first = await start()
  const names = Array.from({ length: 8 }, (_, index) => `prompt-${index}`)
  await first.push({ version: 'one', alias: 'live', prompts: names.map((name) => ({ name, content: `content of ${name}` })) })
  const readAs = async (instance: Service) =>
    Promise.all(
      names.flatMap((name) => ['live', 'one'].map(async (ref) => contentOf(await instance.call(`/prompts/${name}/${ref}`)))),
    )
  const truth = await readAs(first)
  const { client } = redis
  await until('Redis has them', patienceMs, async () => (await redis.keys(`${contentKeys}:c:*`)).length === truth.length)
  const good = await readAll(redis)
  const ways: ((key: string, value: Buffer, other: Buffer) => Promise<unknown>)[] = [
    (key) => client.set(key, ''),
    (key) => client.set(key, '{"content":"foreign"}'),
    (key, value) => client.set(key, value.subarray(0, value.length - 7)),
    (key, value) => client.set(key, Buffer.concat([value, Buffer.from('more')])),
    (key, value) => client.set(key, Buffer.from(value).fill(0, 10, 20)),
    (key, _value, other) => client.set(key, other),
    async (key) => {
      await client.del(key)
      await client.rpush(key, 'a', 'list')
    },
    (key) => client.set(key, Buffer.alloc(70_000, 255)),
  ]
  const keys = [...good.keys()]
  for (const [index, key] of keys.entries()) {
    const spoil = ways[index % ways.length] as (typeof ways)[number]
    await spoil(key, good.get(key) as Buffer, good.get(keys[(index + 1) % keys.length] ?? '') as Buffer)
  }
  const second = await knows(await start())
  t.strictSame(await readAs(second), truth)
  t.equal(redisHits(second), 0)
  await until('all are replaced', patienceMs, async () => {
    const now = await readAll(redis, `${contentKeys}:c:*`).catch(() => new Map<string, Buffer>())
    return [...now].every(([key, value]) => good.get(key)?.equals(value))
  })
  const third = await knows(await start())
  t.strictSame(await readAs(third), truth)
  t.ok(redisHits(third) > 0, 'and read again')
})

withEither('every value in Redis ends within a day, not all at once, and none is over a mebibyte', async (t, redis) => {
  const { start } = await install(t, redis.urls)
  const [first, second] = [await start(), await start()]
  const part = 'x'.repeat(250 * 1024)
  const parts = Array.from({ length: 4 }, (_, index) => ({ name: `part-${index}`, content: part }))
  const own = `${part} ${parts.map(({ name }) => `{% include "${name}" %}`).join('')}`
  const small = Array.from({ length: 20 }, (_, index) => ({ name: `small-${index}`, content: `small ${index}` }))
  await first.push({ alias: 'live', prompts: [...small, ...parts, { name: 'large', content: own }] })
  for (const { name, content } of small) t.equal((await first.call(`/prompts/${name}/live`)).body.content, content)
  for (const instance of [first, second]) {
    const { body } = await instance.call('/prompts/large/live')
    t.equal(body.content, own, 'what is too large for Redis is served all the same')
    t.strictSame(Object.keys(body.includes), ['part-0', 'part-1', 'part-2', 'part-3'])
  }
  const { client } = redis
  await until('Redis has the small ones', patienceMs, async () => (await redis.keys('*:small-*')).length >= small.length)
  t.strictSame(await redis.keys('*:large'), [])
  const keys = await redis.keys('*')
  const lives = await Promise.all(keys.map((key) => client.pttl(key)))
  t.strictSame(
    keys.filter((_, index) => (lives[index] ?? 0) <= 0 || (lives[index] ?? 0) > dayMs),
    [],
  )
  const ends = new Set(lives.filter((ms) => ms > dayMs / 2).map((ms) => Math.round(ms / 60_000)))
  t.ok(ends.size > 10, `${ends.size} different minutes`)
  t.ok((await Promise.all(keys.map((key) => client.strlen(key)))).every((bytes) => bytes <= mebibyte + 4))
})

withEither('a purge reaches Redis and the other instances', async (t, redis) => {
  const { start } = await install(t, redis.urls)
  const [first, second] = [await start(), await start()]
  const secret = 'the purged text'
  await first.push({
    version: 'one',
    alias: 'live',
    prompts: [
      { name: 'leak', content: secret },
      { name: 'kept', content: 'kept' },
    ],
  })
  const paths = ['live', 'one', 'v1', 'latest', 'r1'].map((ref) => `/prompts/leak/${ref}`)
  for (const instance of [first, second]) {
    for (const path of [...paths, '/prompts/kept/live']) t.equal((await instance.call(path)).status, 200)
  }
  const holders = async () => [...(await readAll(redis, '*:c:*'))].filter(([, value]) => value.includes(secret)).length
  await until('Redis has the text', patienceMs, async () => (await holders()) > 0)
  t.equal((await first.call('/prompts/leak/one/purge', { body: { reason: 'it leaked' } })).status, 200)
  for (const path of paths) t.equal((await first.call(path)).status, 410, `${path} at once where it was purged`)
  await isSoon(t, 'the other instance does not serve it', async () =>
    (await Promise.all(paths.map((path) => second.call(path)))).every(({ status }) => status === 410),
  )
  t.equal((await second.call('/prompts/kept/live')).body.content, 'kept')
  t.equal(await holders(), 0, 'Redis does not have it any more')
  const third = await start()
  for (const path of paths) t.equal((await third.call(path)).status, 410, `${path} on an instance that begins`)
  t.equal(await holders(), 0)
})

withEither('a revoked key is refused by the other instances', async (t, redis) => {
  const { start } = await install(t, redis.urls)
  const [first, second] = [await start(), await start()]
  await first.push({ alias: 'live', prompts: [{ name: 'kept', content: 'kept' }] })
  const { id, secret } = await first.createKey({ name: 'doomed', scopes: ['prompts:read'] })
  const statusOn = async (instance: Service) => (await instance.call('/prompts/kept/live', { key: secret })).status
  t.equal(await statusOn(first), 200)
  t.equal(await statusOn(second), 200)
  t.equal((await first.call(`/keys/${id}`, { method: 'DELETE' })).status, 200)
  t.equal(await statusOn(first), 401, 'at once where it was revoked')
  await isSoon(t, 'the other instance refuses it', async () => (await statusOn(second)) === 401)
})

withEither('a key is revoked everywhere, also where it was being read at that moment', async (t, redis) => {
  const databaseUrl = await makeDatabase()
  const proxy = await startFaultProxy(t, databaseUrl)
  const first = await startInstance(t, { databaseUrl, redisUrls: redis.urls })
  const second = await startInstance(t, { databaseUrl: proxy.url, redisUrls: redis.urls })
  await first.push({ alias: 'live', prompts: [{ name: 'kept', content: 'kept' }] })
  await knows(second)
  const { id, secret } = await first.createKey({ name: 'doomed', scopes: ['prompts:read'] })
  const statusOn = async (instance: Service) => (await instance.call('/prompts/kept/live', { key: secret })).status
  const server = await postgres.connect('postgres')
  const lastAnswered = async () => {
    const { rows } = await server.query<{ last: string | null }>(
      `SELECT max(query_start)::text AS last FROM pg_stat_activity WHERE datname = $1 AND state = 'idle' AND query LIKE '%WITH key AS%'`,
      [new URL(databaseUrl).pathname.slice(1)],
    )
    return rows[0]?.last ?? null
  }
  const before = await lastAnswered()
  await proxy.set('half-open')
  t.teardown(() => proxy.set('pass'))
  const reading = statusOn(second)
  await until('Postgres has told that the key is good', patienceMs, async () => (await lastAnswered()) !== before)
  const heard = second.deps.redis?.counts.received ?? 0
  t.equal((await first.call(`/keys/${id}`, { method: 'DELETE' })).status, 200)
  const revokedMs = performance.now()
  await until(
    'the other instance has heard of the revocation',
    patienceMs,
    () => (second.deps.redis?.counts.received ?? 0) > heard,
  )
  await proxy.set('pass')
  await reading
  await until('the other instance refuses it', patienceMs, async () => (await statusOn(second)) === 401)
  const ms = performance.now() - revokedMs
  t.ok(ms < heardMs, `the other instance refuses it after ${ms.toFixed(0)} ms`)
})

/** What an instance that was asked for nothing answers from Redis alone, while Postgres is frozen. */
async function servesFromRedis(t: Tap, { start }: { start: () => Promise<Service> }, writer: Service): Promise<void> {
  const names = Array.from({ length: 12 }, (_, index) => `shared-${index}`)
  await writer.call('/projects', { body: { slug: 'beside' } })
  for (const project of ['default', 'beside']) {
    const prompts = names.map((name) => ({ name, content: `${name} in ${project}` }))
    await writer.push({ version: 'first', alias: 'shared', prompts }, { project })
    for (const name of names) {
      for (const ref of ['shared', 'latest']) t.equal((await writer.call(`/prompts/${name}/${ref}`, { project })).status, 200)
    }
  }
  await until('all was stored', patienceMs, async () => {
    const { dropped = 0, failures = 0, refused = 0 } = writer.deps.redis?.counts ?? {}
    return dropped + failures + refused === 0
  })
  const beginner = await knows(await start())
  await postgres.freeze()
  try {
    await until('nothing can be confirmed', patienceMs, async () => {
      const { headers } = await beginner.call('/prompts/shared-0/latest')
      return beginner.deps.database.isAway() && headers.get('x-promptsync-source') === 'stale'
    })
    for (const project of ['default', 'beside']) {
      for (const name of names) {
        const answer = await beginner.call(`/prompts/${name}/shared`, { project })
        t.equal(answer.body.content, `${name} in ${project}`)
        t.equal(answer.headers.get('x-promptsync-source'), 'stale')
        t.ok(Number(answer.headers.get('age')) >= 1, 'and says for how long')
      }
    }
    t.equal((await beginner.call('/prompts/shared-0/latest')).body.content, 'shared-0 in default')
    t.equal((await beginner.call('/prompts/unheard/shared')).status, 503)
    t.equal((await beginner.call('/prompts/shared-0/shared', { project: 'unheard' })).status, 503)
  } finally {
    await postgres.thaw()
  }
  await until('it is confirmed again', patienceMs, async () => {
    const { headers } = await beginner.call('/prompts/shared-0/shared', { project: 'beside' })
    return headers.get('x-promptsync-source') === 'registry'
  })
}

withEither(
  'an instance that knows only its key answers from Redis what others knew, while Postgres is away',
  async (t, redis) => {
    const installation = await install(t, redis.urls)
    await servesFromRedis(t, installation, await installation.start())
  },
)

/** Moves and a purge are heard of before, while and after a master is replaced, and what lay there is served. */
async function outlivesMaster(t: Tap, { urls }: SharedRedis, cluster: RedisCluster): Promise<void> {
  const { start } = await install(t, urls)
  const [first, second] = [await start(), await start()]
  const versions = ['one', 'two', 'three', 'four']
  for (const version of versions) await first.push({ version, prompts: [{ name: 'moved', content: version }] })
  const isMoved = async (version: string) => {
    const received = second.deps.redis?.counts.received ?? 0
    await move(first, version)
    t.equal((await first.call('/prompts/moved/live')).body.content, version)
    await isSoon(
      t,
      `the other serves ${version}`,
      async () => (await second.call('/prompts/moved/live')).body.content === version,
    )
    await until('it was told so', patienceMs, () => (second.deps.redis?.counts.received ?? 0) > received)
  }
  await isMoved('one')
  await isMoved('two')
  await cluster.stopMaster(0)
  t.equal((await second.call('/prompts/moved/three')).body.content, 'three', 'with a third of the keys gone')
  await cluster.untilOk()
  await until('messages come through', patienceMs, () => second.deps.redis?.state().subscriber === 'up')
  await isMoved('three')
  const leak = { version: 'leak', alias: 'live', prompts: [{ name: 'moved', content: 'leaked' }] }
  await first.push(leak)
  t.equal((await second.call('/prompts/moved/leak')).status, 200)
  t.equal((await first.call('/prompts/moved/leak/purge', { body: { reason: 'it leaked' } })).status, 200)
  await isSoon(t, 'the other instance does not serve it', async () => (await second.call('/prompts/moved/leak')).status === 410)
}

for (const kind of redisKinds) {
  t.test(kind === 'single' ? 'with one Redis' : 'with a Cluster of six nodes', async (t) => {
    const redis = await startSharedRedis(t, kind)
    for (const [title, holds] of promised) {
      await t.test(title, async (t) => {
        await redis.empty()
        await holds(t, redis)
      })
    }
    const { cluster } = redis
    if (cluster) await t.test('a master is replaced', (t) => outlivesMaster(t, redis, cluster))
  })
}
