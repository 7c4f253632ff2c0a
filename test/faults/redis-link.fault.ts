import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from 'ioredis'
import t from 'tap'
import { RedisAway } from '../../src/redis/away.js'
import type { RedisLink } from '../../src/redis/connect.js'
import { freePort } from '../helpers/free-port.js'
import { openLink } from '../helpers/redis.js'
import type { Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { watchLateness } from './helpers/event-loop.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { startRedisCluster } from './helpers/redis-cluster.js'
import { startRedis } from './helpers/redis-server.js'

const waitMs = 15_000
/** A connection is tried every 2 s at the longest, and the breaker stays open for 1.2 s. */
const recoveryMs = 5_000
const value = Buffer.from('value')

/** A link that listens to a channel, too, with what it heard. */
function openListening(t: Teardown, urls: string[]) {
  const { link, warnings } = openLink(t, urls)
  const heard: string[] = []
  let ready = 0
  link.subscribe('channel', {
    onMessage: (message) => void heard.push(message),
    onReady: () => {
      ready += 1
    },
  })
  return { link, warnings, heard, ready: () => ready }
}

function stands(link: RedisLink): boolean {
  const { commands, breaker, subscriber } = link.state()
  return commands === 'up' && breaker === 'closed' && subscriber === 'up'
}

/** Stores and reads until both work, and answers how long that took. */
async function untilServing(link: RedisLink, withinMs = waitMs): Promise<number> {
  const start = performance.now()
  await until('the link serves', withinMs, async () => {
    link.set('serving', value, 60_000)
    return stands(link) && value.equals((await link.get('serving').catch(() => null)) ?? Buffer.alloc(0))
  })
  return performance.now() - start
}

const lateness = watchLateness(t)

/** Reads about every millisecond for so long, and answers how long each took. */
async function readFor(link: RedisLink, ms: number): Promise<number[]> {
  lateness.restart()
  const times: number[] = []
  const end = performance.now() + ms
  while (performance.now() < end) {
    const start = performance.now()
    await link.get('serving').catch((error) => {
      if (!(error instanceof RedisAway)) throw error
    })
    times.push(performance.now() - start)
    await delay(1)
  }
  return times
}

/** The bound of what a read may cost, and as much as this process was late meanwhile. */
function costsLittle(t: Pick<typeof import('tap').t, 'ok'>, times: number[], atMostWaiting: number): void {
  const slowest = times.reduce((most, ms) => Math.max(most, ms), 0)
  const lateMs = lateness.allowanceMs()
  const waiting = times.filter((ms) => ms > 40 + lateMs).length
  const limitMs = 90 + lateMs
  t.ok(slowest < limitMs, `the slowest of ${times.length} reads took ${slowest.toFixed(1)} ms, of at most ${limitMs.toFixed(1)}`)
  t.ok(waiting <= atMostWaiting, `${waiting} of ${times.length} reads waited`)
}

t.test('a frozen Redis costs one read 50 ms, and serves again when it goes on', async (t) => {
  const server = await startRedis(t)
  const { link, warnings, ready } = openListening(t, [server.url])
  await untilServing(link)
  await server.freeze()
  costsLittle(t, await readFor(link, 4_000), 1)
  await until('the subscription is known to be dead', waitMs, () => link.state().subscriber === 'down')
  link.set('serving', value, 1_000)
  await t.rejects(link.removeAll('serving', 1_000), { message: /^Not all keys could be removed/ })
  await server.thaw()
  const ms = await untilServing(link)
  t.ok(ms < recoveryMs, `it served again after ${Math.round(ms)} ms`)
  t.ok(ready() >= 2, 'whoever listens was told to catch up')
  await until('the log says so', waitMs, () => warnings.length === 2)
  t.match(warnings, [/^Redis is away: /, 'Redis is back.'])
})

t.test('a moment’s freeze is forgotten in a moment', async (t) => {
  const server = await startRedis(t)
  const { link } = openListening(t, [server.url])
  await untilServing(link)
  await server.freeze()
  const [first = 0] = await readFor(link, 1)
  t.ok(first >= 45 && first < 90, `the read waited for ${first} ms`)
  await server.thaw()
  const ms = await untilServing(link)
  t.ok(ms < 2_500, `it served again after ${Math.round(ms)} ms`)
})

t.test('a Redis that comes after the start is found', async (t) => {
  const port = await freePort()
  const { link, warnings, ready } = openListening(t, [`redis://127.0.0.1:${port}`])
  await until('the log says so', waitMs, () => warnings.length === 1)
  costsLittle(t, await readFor(link, 500), 0)
  await startRedis(t, { port })
  await untilServing(link)
  t.equal(ready(), 1)
  await until('the log says so', waitMs, () => warnings.length === 2)
})

t.test('a Redis that is killed and started again serves again, and those who listen catch up', async (t) => {
  const server = await startRedis(t)
  const { link, ready, heard } = openListening(t, [server.url])
  await untilServing(link)
  for (const end of [server.kill, server.stop]) {
    const before = ready()
    await end()
    costsLittle(t, await readFor(link, 1_000), 0)
    await server.start()
    const ms = await untilServing(link)
    t.ok(ms < recoveryMs, `it served again after ${Math.round(ms)} ms`)
    t.ok(ready() > before)
    link.publish('channel', `after ${before}`)
    await until('messages are heard again', waitMs, () => heard.includes(`after ${before}`))
  }
})

t.test('a wrong password is said without the password, and costs no read anything', async (t) => {
  const server = await startRedis(t, { settings: { requirepass: 'right-one' } })
  const url = (password: string) => server.url.replace('//', `//:${password}@`)
  const wrong = openListening(t, [url('wrong-one')])
  const none = openListening(t, [server.url])
  for (const { link, warnings } of [wrong, none]) {
    await until('the log says so', waitMs, () => warnings.length === 1)
    t.match(warnings[0], /^Redis is away: (WRONGPASS|NOAUTH) /)
    t.notMatch(warnings[0], /(right|wrong)-one/)
    costsLittle(t, await readFor(link, 300), 0)
  }
  const right = openListening(t, [url('right-one')])
  await untilServing(right.link)
  t.same(right.warnings, [])
})

t.test('whatever the network does, few reads wait, and all is well after it', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.url)
  const { link, heard } = openListening(t, [proxy.url])
  const faults = [
    'black-hole',
    'half-open',
    'reset',
    'refuse',
    'garbage',
    { garbage: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') },
    { garbage: Buffer.from('+OK\r\n') },
    { latencyMs: 200 },
    { bytesPerSecond: 20 },
  ] as const
  for (const fault of faults) {
    await untilServing(link)
    await proxy.set(fault)
    t.comment(JSON.stringify(fault))
    costsLittle(t, await readFor(link, 2_000), 2)
    await proxy.set('pass')
    const ms = await untilServing(link)
    t.ok(ms < recoveryMs, `it served again after ${Math.round(ms)} ms`)
    link.publish('channel', JSON.stringify(fault))
    await until('messages are heard again', waitMs, () => heard.includes(JSON.stringify(fault)))
  }
})

t.test('a full Redis is read on, and values that it refuses are counted', async (t) => {
  const server = await startRedis(t)
  const { link, warnings } = openListening(t, [server.url])
  await untilServing(link)
  await server.fill()
  for (let key = 0; key < 10; key += 1) link.set(`key-${key}`, value, 60_000)
  await until('all were refused', waitMs, () => link.counts.refused === 10)
  t.same(await link.get('serving'), value)
  await server.unfill()
  await untilServing(link)
  t.same(warnings, [])
})

t.test('after a failover values go to the new master, once its name leads there', async (t) => {
  const server = await startRedis(t)
  const replica = await server.makeReplica()
  const proxy = await startFaultProxy(t, server.url)
  const { link } = openListening(t, [proxy.url])
  await untilServing(link)
  await server.failOverTo(replica)
  proxy.retarget(replica.url)
  const after = Buffer.from('after')
  await until('a value is stored on the new master', waitMs, async () => {
    link.set('after', after, 60_000)
    return (await replica.client().exists('after')) === 1
  })
  t.same(await link.get('serving'), value, 'what was stored before is there')
})

t.test('a read-only Redis is read on, and its connections stay', async (t) => {
  const server = await startRedis(t)
  const replica = await server.makeReplica()
  const { link } = openListening(t, [replica.url])
  const reader = server.client()
  await reader.set('serving', value)
  await until('the replica is read', waitMs, async () => (await link.get('serving').catch(() => null)) !== null)
  const before = link.counts.timeouts
  const end = performance.now() + 2_000
  let failed = 0
  while (performance.now() < end) {
    link.set('key', value, 60_000)
    await link.get('serving').catch(() => {
      failed += 1
      return new Promise(setImmediate)
    })
  }
  const { timeouts, refused } = link.counts
  t.ok(failed === 0 || timeouts > before, `${failed} reads failed, and none because Redis was late`)
  t.ok(refused > 10, `${refused} values were refused`)
})

t.test('a Cluster of six is read, written, emptied and heard like one server', async (t) => {
  const cluster = await startRedisCluster(t)
  const seeds = cluster.urls.slice(0, 2)
  const { link, warnings, heard } = openListening(t, seeds)
  const other = openListening(t, seeds)
  await untilServing(link)
  await untilServing(other.link)
  const keys = Array.from({ length: 100 }, (_, index) => `many:${index}`)
  const set = (key: string) => link.set(key, Buffer.from(key), 60_000)
  const areStored = async (keys: string[]) => {
    const values = await Promise.all(keys.map((key) => other.link.get(key)))
    return values.every((stored, index) => stored?.toString() === keys[index])
  }
  const tries = keys.map((key) => `try-${key}`)
  await until('every node stores', waitMs, () => {
    tries.forEach(set)
    return areStored(tries)
  })
  // Once each, so that none is on its way any more when they are removed.
  keys.forEach(set)
  await until('all are stored', waitMs, () => areStored(keys))
  other.link.publish('channel', 'hello')
  await until('both hear', waitMs, () => heard.includes('hello') && other.heard.includes('hello'))
  t.equal(await link.removeAll('many:', waitMs), 100)
  t.equal(await link.removeAll('many:', waitMs), 0)
  t.same(warnings, [])

  await t.test('an ASKING that has no answer does not end the process', async (t) => {
    const [node] = (link.client as Cluster).nodes('master')
    node?.disconnect()
    // As the client does when slots are being moved: nobody looks at what becomes of it.
    node?.asking()
    await untilServing(link)
    t.ok(node)
  })

  await t.test('a master that is frozen costs few reads anything', async (t) => {
    const [node] = cluster.nodes
    await node?.freeze()
    lateness.restart()
    const times: number[] = []
    const end = performance.now() + 1_500
    while (performance.now() < end) {
      for (const key of keys.slice(0, 10)) {
        const start = performance.now()
        await link.get(key).catch(() => undefined)
        times.push(performance.now() - start)
      }
      await new Promise(setImmediate)
    }
    costsLittle(t, times, 3)
    await node?.thaw()
    await cluster.untilOk()
    await untilServing(link)
  })

  await t.test('when a master dies its replica takes over, and all keys are served', async (t) => {
    await cluster.stopMaster(0)
    const removal = await link.removeAll('many:', 500).catch((error: Error) => error)
    t.type(removal, RedisAway, 'that all keys are gone is not said while some cannot be seen')
    await cluster.untilOk()
    await until('all are stored', waitMs, async () => {
      for (const key of keys) link.set(key, Buffer.from(key), 60_000)
      const values = await Promise.all(keys.map((key) => link.get(key).catch(() => null)))
      return values.every((stored, index) => stored?.toString() === keys[index])
    })
    await until('keys can be removed', waitMs, async () => (await link.removeAll('many:', 1_000).catch(() => -1)) >= 0)
    await until('it hears', waitMs, () => {
      link.publish('channel', 'after')
      return heard.includes('after')
    })
  })
})

t.test('a Cluster that is gone altogether costs no read anything, and serves when it is back', async (t) => {
  const cluster = await startRedisCluster(t)
  const { link } = openListening(t, cluster.urls)
  await untilServing(link)
  await Promise.all(cluster.nodes.map((node) => node.kill()))
  await until('that is known', waitMs, () => link.state().commands === 'down' || link.state().breaker !== 'closed')
  costsLittle(t, await readFor(link, 2_000), 3)
  for (const node of cluster.nodes) await node.start()
  await untilServing(link)
})
