import t from 'tap'
import { addressOf, describeError } from '../../src/redis/addresses.js'
import { RedisAway } from '../../src/redis/away.js'
import type { RedisLink } from '../../src/redis/connect.js'
import { freePort } from '../helpers/free-port.js'
import { greet, listen, openLink, startScripted } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const waitMs = 5_000

/** How a read ended, and after how long. */
async function timedGet(link: RedisLink, key = 'key') {
  const start = performance.now()
  const outcome = await link.get(key).catch((error: Error) => error)
  return { outcome, ms: performance.now() - start }
}

const isReady = (link: RedisLink) => link.state().commands === 'up' && link.state().breaker === 'closed'
const untilReady = (link: RedisLink) => until('the link stands', waitMs, () => isReady(link))

t.test('with nothing listening the start goes on, and everything is refused at once', async (t) => {
  const { link, warnings } = openLink(t, [`redis://127.0.0.1:${await freePort()}`])
  t.same(link.state(), { commands: 'down', breaker: 'closed', subscriber: 'down' })
  const { outcome, ms } = await timedGet(link)
  t.type(outcome, RedisAway)
  t.ok(ms < 45, `a read was refused after ${ms} ms`)
  link.set('key', Buffer.from('value'), 1_000)
  await t.rejects(link.removeAll('prefix', 1_000), { message: /^Not all keys could be removed from Redis/ })
  link.subscribe('channel', { onMessage: () => undefined, onReady: () => undefined })
  await until('the log says so', waitMs, () => warnings.length > 0)
  t.match(warnings[0], /^Redis is away: connect ECONNREFUSED 127\.0\.0\.1:\d+$/)
  t.match(link.counts, { skipped: 1, dropped: 1, timeouts: 0, opened: 0 })
})

t.test('the log says once that Redis is away, however many connections are refused', async (t) => {
  let connections = 0
  const url = await listen(t, (socket) => {
    connections += 1
    socket.destroy()
  })
  const { link, warnings } = openLink(t, [url])
  link.subscribe('channel', { onMessage: () => undefined, onReady: () => undefined })
  await until('each part has tried again', waitMs, () => connections >= 9)
  t.equal(warnings.length, 1)
})

t.test('a read that has no answer waits 50 ms, and those after it do not wait', async (t) => {
  let isFrozen = false
  const url = await startScripted(t, (command) => {
    if (isFrozen) return null
    return command[0] === 'get' ? '$5\r\nvalue\r\n' : greet(command)
  })
  const { link, warnings } = openLink(t, [url])
  await untilReady(link)
  t.same(await link.get('key'), Buffer.from('value'))
  isFrozen = true
  const { outcome, ms } = await timedGet(link)
  t.type(outcome, RedisAway)
  t.ok(ms >= 45 && ms < 100, `the first waited for ${ms} ms`)
  for (let read = 0; read < 100; read += 1) {
    const { outcome, ms } = await timedGet(link)
    if (!(outcome instanceof RedisAway) || ms >= 45) t.fail(`read ${read} waited for ${ms} ms`)
  }
  t.equal(link.state().breaker, 'open')
  t.match(link.counts, { timeouts: 1, skipped: 100, opened: 1 })
  t.same(warnings, ['Redis is away: no answer within 50 ms'])
})

t.test('a silent Redis is found out without a read, and its return, too', async (t) => {
  let isFrozen = false
  const url = await startScripted(t, (command) => {
    if (isFrozen) return null
    return { get: '$-1\r\n', exists: ':0\r\n' }[command[0] ?? ''] ?? greet(command)
  })
  const { link, warnings } = openLink(t, [url])
  await untilReady(link)
  isFrozen = true
  await until('the breaker opens', waitMs, () => link.state().breaker !== 'closed')
  t.equal(link.counts.timeouts, 0, 'no read of anybody had to wait')
  isFrozen = false
  await untilReady(link)
  t.equal(await link.get('key'), null)
  await until('the log says so', waitMs, () => warnings.length === 2)
  t.match(warnings, [/^Redis is away: /, 'Redis is back.'])
})

t.test('a pause of this process is not taken for one of Redis', async (t) => {
  const pause = () => {
    const end = performance.now() + 120
    while (performance.now() < end);
  }
  const url = await startScripted(t, (command) => {
    if (command[0] !== 'get') return greet(command)
    // The answer has left by then. What comes first after the pause is the timer of the read, and then its answer.
    process.nextTick(pause)
    return '$5\r\nvalue\r\n'
  })
  const { link } = openLink(t, [url])
  await untilReady(link)
  t.same(await link.get('key'), Buffer.from('value'))
  t.match(link.counts, { timeouts: 0, opened: 0 })
})

t.test('three errors in a row open the breaker; a value of another type is none', async (t) => {
  let answer = '-WRONGTYPE Operation against a key holding the wrong kind of value\r\n'
  const url = await startScripted(t, (command) => {
    if (command[0] === 'exists') return ':1\r\n'
    return command[0] === 'get' ? answer : greet(command)
  })
  const { link, warnings } = openLink(t, [url])
  await untilReady(link)
  for (let read = 0; read < 5; read += 1) t.equal(await link.get('key'), null)
  answer = '-LOADING Redis is loading the dataset in memory\r\n'
  for (let read = 0; read < 3; read += 1) {
    t.equal(link.state().breaker, 'closed')
    await t.rejects(link.get('key'), { message: /^Redis did not answer: LOADING/ })
  }
  t.equal(link.state().breaker, 'open')
  t.match(link.counts, { failures: 3, timeouts: 0 })
  t.match(warnings, [/^Redis is away: LOADING/])
  answer = '$-1\r\n'
  await untilReady(link)
  t.equal(await link.get('key'), null)
})

t.test('bytes of no protocol, whenever they come, cost one read', async (t) => {
  const garbage = Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 7) % 256))
  let isMad = false
  const url = await startScripted(t, (command) => {
    if (isMad) return garbage
    return { get: '$5\r\nvalue\r\n', exists: ':0\r\n' }[command[0] ?? ''] ?? greet(command)
  })
  const { link } = openLink(t, [url])
  await untilReady(link)
  isMad = true
  const { outcome, ms } = await timedGet(link)
  t.type(outcome, RedisAway)
  t.ok(ms < 100)
  await until('the connection was given up', waitMs, () => link.state().commands === 'down')
  isMad = false
  await untilReady(link)
  t.same(await link.get('key'), Buffer.from('value'))
})

t.test('an answer of the right protocol and the wrong type is no value', async (t) => {
  const answers = [':1\r\n', '*1\r\n$1\r\na\r\n', '*0\r\n']
  const url = await startScripted(t, (command) => (command[0] === 'get' ? (answers.shift() ?? '$-1\r\n') : greet(command)))
  const { link } = openLink(t, [url])
  await untilReady(link)
  for (const _ of [1, 2, 3]) t.equal(await link.get('key'), null)
})

t.test('no more than a thousand values and 16 MiB are under way', async (t) => {
  const sets: string[] = []
  const url = await startScripted(t, (command) => {
    if (command[0] === 'set') sets.push(command[1] ?? '')
    return greet(command)
  })
  const { link } = openLink(t, [url])
  await untilReady(link)
  const settled = () => link.counts.failures
  for (let value = 0; value < 1_100; value += 1) link.set(`small-${value}`, Buffer.from('x'), 1_000)
  t.ok(link.counts.dropped >= 100, `${link.counts.dropped} were dropped`)
  await until('those under way were given up', waitMs, () => settled() + link.counts.dropped === 1_100)
  await untilReady(link)
  const before = link.counts.dropped
  for (let value = 0; value < 20; value += 1) link.set(`large-${value}`, Buffer.alloc(1024 ** 2), 1_000)
  t.ok(link.counts.dropped >= before + 4)
})

t.test('a Redis that is full refuses values, and goes on to be read', async (t) => {
  const url = await startScripted(t, (command) => {
    if (command[0] === 'set') return "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    return command[0] === 'get' ? '$5\r\nvalue\r\n' : greet(command)
  })
  const { link, warnings } = openLink(t, [url])
  await untilReady(link)
  await until('its writing connection stands', waitMs, () => {
    link.set('key', Buffer.from('x'), 1_000)
    return link.counts.refused > 5
  })
  t.same(await link.get('key'), Buffer.from('value'))
  t.equal(link.state().breaker, 'closed')
  t.same(warnings, [])
})

t.test('no password is logged or told, also where Redis sends it back', async (t) => {
  const password = 's3cret/of+mine'
  const encoded = encodeURIComponent(password)
  const url = await startScripted(t, ([name = '', ...rest]) => {
    if (name === 'hello' || name === 'auth') {
      return `-ERR unknown command '${name}', with args beginning with: ${rest.map((text) => `'${text}'`).join(' ')}\r\n`
    }
    return '+OK\r\n'
  })
  const { link, warnings } = openLink(t, [url.replace('//', `//:${encoded}@`)])
  link.subscribe('channel', { onMessage: () => undefined, onReady: () => undefined })
  await until('the log says something', waitMs, () => warnings.length > 0)
  const { outcome } = await timedGet(link)
  const removed = await link.removeAll('prefix', 100).catch((error: Error) => error)
  for (const said of [...warnings, JSON.stringify(outcome), String(outcome), String(removed), JSON.stringify(removed)]) {
    t.notOk(said.includes(password) || said.includes(encoded), said)
  }
  t.match(warnings[0], /^Redis is away: ERR unknown command 'auth', with args beginning with: '\*\*\*'/)
})

t.test('a link closes within a second whatever Redis does', async (t) => {
  const silent = await listen(t, () => undefined)
  const answering = await startScripted(t, greet)
  const nothing = `redis://127.0.0.1:${await freePort()}`
  for (const urls of [[silent], [answering], [nothing], [silent, answering, nothing]]) {
    const { link } = openLink(t, urls)
    link.subscribe('channel', { onMessage: () => undefined, onReady: () => undefined })
    if (urls[0] === answering) await untilReady(link)
    link.publish('channel', 'never taken')
    const start = performance.now()
    await link.close()
    const ms = performance.now() - start
    t.ok(ms < 1_000, `${urls.join()} took ${Math.round(ms)} ms`)
    t.type((await timedGet(link)).outcome, RedisAway)
  }
})

t.test('several addresses are a Cluster, of which none has to be there', async (t) => {
  const urls = [`redis://127.0.0.1:${await freePort()}`, `redis://no-such-host.invalid:6379`]
  const { link, warnings } = openLink(t, urls)
  link.subscribe('channel', { onMessage: () => undefined, onReady: () => undefined })
  const { outcome, ms } = await timedGet(link)
  t.type(outcome, RedisAway)
  t.ok(ms < 45)
  await until('the log says so', waitMs, () => warnings.length > 0)
  t.match(warnings[0], /^Redis is away: /)
  await t.rejects(link.removeAll('prefix', 1_000), { message: /^Not all keys could be removed/ })
})

t.test('an address is read from its URL, and nothing in it changes the limits', async (t) => {
  const cases: [url: string, address: object][] = [
    ['redis://cache', { host: 'cache', port: 6379 }],
    ['redis://cache:7000/2', { host: 'cache', port: 7000, db: 2 }],
    ['redis://:p%40ss@cache', { host: 'cache', port: 6379, password: 'p@ss' }],
    ['rediss://me:100%@[::1]:1', { host: '::1', port: 1, username: 'me', password: '100%', tls: {} }],
    ['redis://cache?commandTimeout=99999&tls=x', { host: 'cache', port: 6379 }],
  ]
  for (const [url, address] of cases) t.strictSame(addressOf(url), address, url)
})

t.test('a reason is one short line of text', async (t) => {
  const urls = ['redis://:s3cret@cache']
  const describe = (error: unknown) => describeError(urls, error)
  t.equal(describe(new Error('a\nb\u0000\u2028c')), 'a b c')
  t.equal(describe(new Error('x'.repeat(10_000))).length, 200)
  t.equal(describe(Object.assign(new Error(''), { code: 'ECONNREFUSED' })), 'ECONNREFUSED')
  t.equal(describe(new Error('s3cret and s3cret')), '*** and ***')
  t.equal(describe(Object.assign(new Error('all failed'), { lastNodeError: new Error('not s3cret') })), 'not ***')
})
