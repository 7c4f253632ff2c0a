import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { Cluster } from 'ioredis'
import pg from 'pg'
import t from 'tap'
import type { Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedisCluster } from './helpers/redis-cluster.js'
import { startRedis } from './helpers/redis-server.js'
import { checkTrue, createHistory, percentile, type Sample, startLoad, statuses } from './helpers/steady-load.js'

const patienceMs = 5_000
/** Long enough that an answer of a healthy server would have come. */
const silenceMs = 200

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begunMs = performance.now()
  await work()
  return performance.now() - begunMs
}

/** Whether a promise is settled within the time in which a healthy server would have answered. */
function isSilent(work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(true), silenceMs)
    const speak = () => {
      clearTimeout(timer)
      resolve(false)
    }
    work.then(speak, speak)
  })
}

t.test('Redis', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client()
  await client.set('kept', 'yes')

  t.test('frozen, it answers nobody, and thawed it answers what it was asked meanwhile', async (t) => {
    await redis.freeze()
    const asked = client.get('kept')
    t.ok(await isSilent(asked), 'a connection that stood')
    const other = redis.client().get('kept')
    t.ok(await isSilent(other), 'a new one')
    await redis.thaw()
    t.strictSame(await Promise.all([asked, other]), ['yes', 'yes'])
  })

  t.test('full, it refuses writes and answers reads', async (t) => {
    await redis.fill()
    await t.rejects(client.set('new', 'value'), { message: /^OOM/ })
    t.equal(await client.get('kept'), 'yes')
    await redis.unfill()
    t.equal(await client.set('new', 'value'), 'OK')
  })

  t.test('a failover leaves a server that reads and does not write, and another that does both', async (t) => {
    const replica = await redis.makeReplica()
    const other = replica.client()
    t.equal(await other.get('kept'), 'yes', 'a replica has the keys')
    await t.rejects(other.set('new', 'value'), { message: /^READONLY/ })
    await redis.failOverTo(replica)
    await t.rejects(client.set('new', 'value'), { message: /^READONLY/ })
    t.equal(await client.get('kept'), 'yes')
    t.equal(await other.set('new', 'moved'), 'OK')
    await redis.promote()
    t.equal(await client.set('new', 'back'), 'OK')
    await replica.stop()
  })

  t.test('stopped or killed it refuses connections, and starts again empty under its address', async (t) => {
    for (const end of [redis.stop, redis.kill]) {
      await redis.freeze()
      await end()
      t.notOk(redis.isRunning())
      await t.rejects(redis.client({ retryStrategy: null, maxRetriesPerRequest: 0 }).ping())
      await redis.start()
      t.ok(redis.isRunning())
      await until('the client is connected again', patienceMs, () => client.status === 'ready')
      t.equal(await client.get('kept'), null)
    }
  })

  t.test('with a log it keeps what it was told', async (t) => {
    const persistent = await startRedis(t, { settings: { appendonly: 'yes', appendfsync: 'always' } })
    await persistent.client().set('kept', 'yes')
    await persistent.kill()
    await persistent.start()
    t.equal(await persistent.client().get('kept'), 'yes')
  })
})

t.test('a cluster of Redis takes keys of all slots, also after one of its masters was lost', async (t) => {
  const cluster = await startRedisCluster(t)
  t.equal(cluster.urls.length, 6)
  const client = new Cluster(cluster.urls)
  t.teardown(() => client.disconnect())
  const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`)
  const roundTrip = async (value: string) => {
    await Promise.all(keys.map((key) => client.set(key, value)))
    return new Set(await Promise.all(keys.map((key) => client.get(key))))
  }
  t.strictSame(await roundTrip('first'), new Set(['first']))
  const lost = await cluster.stopMaster(0)
  t.notOk(lost.isRunning())
  await cluster.untilOk()
  t.strictSame(await roundTrip('second'), new Set(['second']))
  await lost.start()
  await cluster.untilOk()
})

/** A server that answers every byte with the same, and tells what it has heard. */
async function startEcho(t: Teardown) {
  let heard = ''
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      heard += chunk
      socket.write(chunk)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    heard: () => heard,
    connections: () => sockets.size,
  }
}

/** A connection that remembers what it has read and how it ended. */
async function openSocket(t: Teardown, port: number) {
  const socket = connect(port, '127.0.0.1')
  const state = { read: '', error: null as string | null }
  socket.on('data', (chunk) => (state.read += chunk.toString('latin1')))
  socket.on('error', (error: NodeJS.ErrnoException) => (state.error = error.code ?? error.message))
  const closed = new Promise<string | null>((resolve) => socket.on('close', () => resolve(state.error)))
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return {
    socket,
    closed,
    read: () => state.read,
    untilRead: (text: string) => until(`${text} was read`, patienceMs, () => state.read === text),
  }
}

t.test('the way to a server', async (t) => {
  const setUp = async (t: Teardown) => {
    const echo = await startEcho(t)
    const proxy = await startFaultProxy(t, echo.url)
    return { echo, proxy, open: () => openSocket(t, proxy.port) }
  }

  t.test('late: everything takes so much longer each way, in its order', async (t) => {
    const { proxy, open } = await setUp(t)
    const client = await open()
    await proxy.set({ latencyMs: 60 })
    const tookMs = await timed(async () => {
      for (const letter of ['a', 'b', 'c']) client.socket.write(letter)
      await client.untilRead('abc')
    })
    t.ok(tookMs >= 120, `${tookMs} ms there and back`)
  })

  t.test('a black hole: nothing arrives, nothing ends, and what was sent arrives when it is over', async (t) => {
    const { echo, proxy, open } = await setUp(t)
    const [stood, left] = [await open(), await open()]
    await until('both are connected', patienceMs, () => echo.connections() === 2)
    const before = echo.heard()
    await proxy.set('black-hole')
    const late = await open()
    for (const client of [stood, late]) client.socket.write('x')
    left.socket.destroy()
    t.ok(await isSilent(Promise.race([once(stood.socket, 'data'), once(late.socket, 'data'), stood.closed, late.closed])))
    t.equal(echo.heard(), before)
    t.equal(echo.connections(), 2, 'the server does not learn that a client has left, nor that one has come')
    await proxy.set('pass')
    await Promise.all([stood.untilRead('x'), late.untilRead('x')])
    await until('the server learns it', patienceMs, () => echo.connections() === 2 && proxy.connections() === 2)
  })

  t.test('half open: what is sent arrives, and its answer does not', async (t) => {
    const { echo, proxy, open } = await setUp(t)
    const client = await open()
    const before = echo.heard()
    await proxy.set('half-open')
    client.socket.write('y')
    await until('it has arrived', patienceMs, () => echo.heard() === `${before}y`)
    t.ok(await isSilent(once(client.socket, 'data')))
    await proxy.set('pass')
    await client.untilRead('y')
  })

  t.test('reset: every connection breaks, those that stood and those that come', async (t) => {
    const { echo, proxy, open } = await setUp(t)
    const stood = await open()
    await proxy.set('reset')
    t.equal(await stood.closed, 'ECONNRESET')
    // A new one may break before or after its client has heard that it stands.
    const broken = await open().then(
      ({ closed }) => closed,
      ({ code }) => code,
    )
    t.equal(broken, 'ECONNRESET')
    await until('the server learns it', patienceMs, () => echo.connections() === 0)
    await proxy.set('pass')
    const client = await open()
    client.socket.write('again')
    await client.untilRead('again')
  })

  t.test('garbage: the answer is no protocol, and the connection is of no use afterwards', async (t) => {
    const { echo, proxy, open } = await setUp(t)
    const client = await open()
    await proxy.set({ garbage: Buffer.from('?!') })
    const before = echo.heard()
    client.socket.write('z')
    await client.untilRead('?!')
    t.equal(echo.heard(), before, 'the server is not asked')
    await proxy.set('pass')
    t.equal(await client.closed, 'ECONNRESET')
  })

  t.test('slow: few bytes a second', async (t) => {
    const { proxy, open } = await setUp(t)
    const client = await open()
    await proxy.set({ bytesPerSecond: 40 })
    const tookMs = await timed(async () => {
      client.socket.write('12345678')
      await client.untilRead('12345678')
    })
    t.ok(tookMs >= 200, `eight bytes took ${tookMs} ms`)
  })

  t.test('refused: nothing listens, and then it does again under the same address', async (t) => {
    const { proxy, open } = await setUp(t)
    const stood = await open()
    await proxy.set('refuse')
    t.equal(await stood.closed, 'ECONNRESET')
    await t.rejects(open(), { code: 'ECONNREFUSED' })
    await proxy.set('pass')
    const client = await open()
    client.socket.write('again')
    await client.untilRead('again')
  })

  t.test('moved: new connections reach another server', async (t) => {
    const { proxy, open } = await setUp(t)
    const other = await startEcho(t)
    proxy.retarget(other.url)
    const client = await open()
    client.socket.write('moved')
    await client.untilRead('moved')
    t.equal(other.heard(), 'moved')
  })

  t.test('more than it holds back for a slow reader stays with the sender', async (t) => {
    const { proxy, open } = await setUp(t)
    const client = await open()
    const bytes = 8 * 1_048_576
    await proxy.set('black-hole')
    client.socket.write(Buffer.alloc(bytes, 'b'))
    t.ok(client.socket.writableLength > 0)
    t.ok(await isSilent(once(client.socket, 'drain')), 'it waits')
    await proxy.set('pass')
    await until('all came back', patienceMs, () => client.read().length === bytes)
  })
})

t.test('Redis and Postgres notice garbage at once', async (t) => {
  const [redis, postgres] = await Promise.all([startRedis(t), startPostgres(t)])
  const [toRedis, toPostgres] = await Promise.all([
    startFaultProxy(t, redis.url),
    startFaultProxy(t, await postgres.createDatabase('garbage')),
  ])
  const client = redis.client({ port: toRedis.port, maxRetriesPerRequest: 0, retryStrategy: null })
  const session = new pg.Client({ connectionString: toPostgres.url })
  session.on('error', () => undefined)
  t.teardown(() => session.end().catch(() => undefined))
  await session.connect()
  t.equal(await client.ping(), 'PONG')
  await toRedis.set('garbage')
  await toPostgres.set('garbage')
  await t.rejects(client.ping())
  await t.rejects(session.query('SELECT 1'))
})

t.test('Postgres', async (t) => {
  const server = await startPostgres(t)
  const url = await server.createDatabase('faults')
  const connectAs = async () => {
    const session = new pg.Client({ connectionString: url, connectionTimeoutMillis: patienceMs })
    session.on('error', () => undefined)
    t.teardown(() => session.end().catch(() => undefined))
    await session.connect()
    return session
  }
  const begin = await connectAs()
  await begin.query('CREATE TABLE notes (text text)')
  await begin.end()

  t.test('frozen, no session of it answers, and thawed all do', async (t) => {
    const session = await connectAs()
    await server.freeze()
    const asked = session.query('SELECT 1 AS one')
    t.ok(await isSilent(asked), 'a session that stood')
    const other = connectAs()
    t.ok(await isSilent(other), 'a new one')
    await server.thaw()
    t.strictSame((await asked).rows, [{ one: 1 }])
    t.strictSame((await (await other).query('SELECT 2 AS two')).rows, [{ two: 2 }])
  })

  t.test('frozen, it can be stopped', async (t) => {
    const session = await connectAs()
    const ended = new Promise<void>((resolve) => session.once('end', resolve))
    await server.freeze()
    await server.stop('fast')
    t.notOk(server.isRunning())
    await ended
    await server.start()
    t.strictSame((await (await connectAs()).query('SELECT 1 AS one')).rows, [{ one: 1 }])
  })

  t.test('read-only, it refuses writes of every session and answers reads', async (t) => {
    const stood = await connectAs()
    await server.setReadOnly('faults', 'on')
    await t.rejects(stood.query('SELECT 1'), 'a session from before has ended')
    const session = await connectAs()
    await t.rejects(session.query("INSERT INTO notes VALUES ('refused')"), { code: '25006' })
    t.strictSame((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    await server.setReadOnly('faults', 'off')
    await (await connectAs()).query("INSERT INTO notes VALUES ('accepted')")
  })

  t.test('out of connections, it refuses every session', async (t) => {
    const stood = await connectAs()
    await server.exhaustConnections()
    await t.rejects(stood.query('SELECT 1'), 'a session from before has ended')
    await t.rejects(connectAs(), { code: '53300' })
    await server.releaseConnections()
    t.equal((await (await connectAs()).query('SELECT 1')).rowCount, 1)
  })

  t.test('restored, it has what the backup had, and can be restored again', async (t) => {
    const write = async (text: string) => (await connectAs()).query('INSERT INTO notes VALUES ($1)', [text])
    const has = async (text: string) => (await (await connectAs()).query('SELECT 1 FROM notes WHERE text = $1', [text])).rowCount
    await write('before')
    const backup = await server.backup('faults')
    for (const round of ['first', 'second']) {
      await write(`${round} after`)
      await server.restore('faults', backup)
      t.equal(await has('before'), 1)
      t.equal(await has(`${round} after`), 0)
    }
  })
})

t.test('a steady load does not wait for late answers', async (t) => {
  let mayAnswer = true
  const waiting: (() => void)[] = []
  const server = createHttpServer((request, response) => {
    const answer = () => {
      response.writeHead(200, { 'content-type': 'application/json', 'x-promptsync-source': 'registry', age: '3' })
      response.end(JSON.stringify({ content: request.headers.authorization, release: 'r1' }))
    }
    if (mayAnswer) answer()
    else waiting.push(answer)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  const load = startLoad(t, { urls: [url], paths: ['/a', '/b'], key: 'secret' })
  t.match(await load.until(({ path }) => path === '/b', patienceMs), {
    status: 200,
    source: 'registry',
    ageSeconds: 3,
    content: 'Bearer secret',
    release: 'r1',
    version: null,
    failure: null,
  })
  mayAnswer = false
  await until('many wait', patienceMs, () => waiting.length >= 60)
  mayAnswer = true
  for (const answer of waiting) answer()
  await load.until(({ status }) => status === 200, patienceMs)
  const samples = await load.stop()
  t.strictSame(statuses(samples), { 200: samples.length })
  t.ok(percentile(samples, 1) >= 200, 'the first of those that waited did so until the last was sent')
  await t.rejects(
    load.until(() => true, 10),
    /no answer was like this/,
  )
  const lost = startLoad(t, { urls: ['http://127.0.0.1:1'], paths: ['/'], key: 'secret' })
  t.match(await lost.until(() => true, patienceMs), { status: null, failure: 'ECONNREFUSED' })
})

t.test('an answer is wrong if it was not true at any moment it may speak of', async (t) => {
  const history = createHistory()
  const [path, writer] = ['/prompts/a/production', 'http://writer']
  const at = (fromMs: number, untilMs: number) => ({ fromMs, untilMs, outcome: 'acknowledged', url: writer }) as const
  history.record(path, { value: 'one', ...at(-1, 0) })
  history.record(path, { value: 'two', ...at(100, 110) })
  history.record(path, { value: 'three', ...at(1_000, 1_010), outcome: 'unknown' })
  history.record(path, { value: null, ...at(2_000, 2_010) })
  const none = { dueMs: 0, failure: null, ageSeconds: null, version: null, release: null, code: null }
  const sample = (content: string | null, startMs: number, options: Partial<Sample> = {}): Sample => {
    const status = content === null ? 404 : 200
    return { ...none, path, url: 'http://other', status, source: 'registry', content, startMs, endMs: startMs + 5, ...options }
  }
  const wrong = (...samples: Sample[]) => checkTrue(samples, history, { maxStalenessMs: 50 }).map(({ reason }) => reason)

  t.strictSame(wrong(sample('one', 50), sample('one', 159), sample('two', 97), sample('two', 160)), [])
  t.strictSame(wrong(sample('two', 90)), ['"two" had never been written'], 'before it was sent')
  t.strictSame(wrong(sample('one', 170)), ['"one" had been replaced by "two" 60 ms before the request'])
  t.strictSame(wrong(sample('one', 170, { source: 'stale' })), [], 'unless it says so')
  t.equal(wrong(sample('one', 111, { url: writer })).length, 1, 'on the instance that wrote, at once')
  t.strictSame(wrong(sample('two', 1_500), sample('three', 1_500)), [], 'both, where nobody knows')
  t.equal(wrong(sample('three', 2_061), sample('two', 2_061)).length, 2)
  t.strictSame(wrong(sample(null, 2_061), sample(null, 2_000)), [])
  t.equal(wrong(sample(null, 1_500)).length, 1, '404 while it was known')
  t.strictSame(wrong(sample('zero', 50, { status: 503 })), [], 'an answer without a value says nothing')
  t.equal(wrong(sample('zero', 50, { source: 'stale' })).length, 1, 'nor was it ever true')
})
