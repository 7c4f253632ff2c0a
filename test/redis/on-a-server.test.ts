import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { RedisLink } from '../../src/redis/connect.js'
import { openLink, redisUrl } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const waitMs = 5_000
const prefix = `test-link-${randomUUID()}:`
const channel = `${prefix}channel`

/** A link whose every part stands, with what it heard. */
async function openStanding(t: Parameters<typeof openLink>[0], url: string) {
  const { link, warnings } = openLink(t, [url])
  const heard: string[] = []
  let ready = 0
  link.subscribe(channel, {
    onMessage: (message) => void heard.push(message),
    onReady: () => {
      ready += 1
    },
  })
  await until('the link stands', waitMs, async () => {
    const { commands, subscriber } = link.state()
    return commands === 'up' && subscriber === 'up' && (await link.removeAll(`${prefix}none`, waitMs).catch(() => null)) === 0
  })
  return { link, warnings, heard, ready: () => ready }
}

/** Nobody waits for a value to be stored, so whoever reads it back has to. */
async function store(link: RedisLink, key: string, value: Buffer, ttlMs: number): Promise<void> {
  link.set(key, value, ttlMs)
  await until(`${key} is stored`, waitMs, async () => (await link.get(key))?.equals(value) ?? false)
}

/** Ends connections of others on the server, as an administrator would; those of this link alone. */
async function killConnections(link: RedisLink, id: string): Promise<void> {
  await link.client.call('CLIENT', 'KILL', 'ID', id)
}

async function connectionIds(link: RedisLink, name: string): Promise<string[]> {
  const list = String(await link.client.call('CLIENT', 'LIST'))
  return [...list.matchAll(/^id=(\d+) .*?\bname=(\S*)/gm)].filter((match) => match[2] === name).map((match) => match[1] ?? '')
}

if (redisUrl === undefined) t.equal(redisUrl, undefined, 'TEST_REDIS_URL names no server to test against')
else testOn(redisUrl)

function testOn(url: string): void {
  t.test('bytes come back as they were stored', async (t) => {
    const { link, warnings } = await openStanding(t, url)
    const values = [
      Buffer.alloc(0),
      Buffer.from([0, 13, 10, 255, 128]),
      Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 31) % 256)),
    ]
    for (const value of values) await store(link, `${prefix}bytes`, value, 60_000)
    t.equal(await link.get(`${prefix}nothing`), null)
    t.equal(await link.removeAll(`${prefix}bytes`, waitMs), 1)
    t.same(warnings, [])
    t.match(link.counts, { timeouts: 0, failures: 0, refused: 0, dropped: 0, opened: 0 })
  })

  t.test('a value is gone after its time', async (t) => {
    const { link } = await openStanding(t, url)
    await store(link, `${prefix}short`, Buffer.from('value'), 150)
    await until('it is gone', waitMs, async () => (await link.get(`${prefix}short`)) === null)
    await store(link, `${prefix}long`, Buffer.from('value'), 60_000)
    const left = Number(await link.client.pttl(`${prefix}long`))
    t.ok(left > 50_000 && left <= 60_000, `${left} ms are left`)
    await link.removeAll(prefix, waitMs)
  })

  t.test('somebody else’s value of another type is none, and is replaced', async (t) => {
    const { link } = await openStanding(t, url)
    await link.client.lpush(`${prefix}list`, 'a')
    t.equal(await link.get(`${prefix}list`), null)
    await store(link, `${prefix}list`, Buffer.from('ours'), 60_000)
    await link.removeAll(prefix, waitMs)
  })

  t.test('all keys of a prefix are removed, and no other', async (t) => {
    const { link } = await openStanding(t, url)
    const odd = `${prefix}od[d]*?\\`
    const count = 3_500
    const pipeline = link.client.pipeline()
    for (let key = 0; key < count; key += 1) pipeline.set(`${odd}${key}`, 'x')
    for (const other of ['odd1', 'od[d]x', 'od[d]*1', 'od']) pipeline.set(`${prefix}${other}`, 'x')
    await pipeline.exec()
    t.equal(await link.removeAll(odd, waitMs), count)
    t.equal(await link.removeAll(odd, waitMs), 0)
    t.equal(await link.removeAll(prefix, waitMs), 4)
  })

  t.test('what takes too long to remove is not said to be gone', async (t) => {
    const { link } = await openStanding(t, url)
    await store(link, `${prefix}kept`, Buffer.from('x'), 60_000)
    await t.rejects(link.removeAll(prefix, 0), { message: /^Not all keys could be removed from Redis/ })
    await link.removeAll(prefix, waitMs)
  })

  t.test('what one link publishes another hears, on its channels only and in order', async (t) => {
    const [sender, hearer] = [await openStanding(t, url), await openStanding(t, url)]
    const other: string[] = []
    hearer.link.subscribe(`${channel}-2`, { onMessage: (message) => void other.push(message), onReady: () => undefined })
    await until('the second channel is joined', waitMs, () => {
      sender.link.publish(`${channel}-2`, 'hello')
      return other.length > 0
    })
    for (let message = 0; message < 100; message += 1) sender.link.publish(channel, `message ${message}`)
    await until('all were heard', waitMs, () => hearer.heard.length === 100)
    t.same(
      hearer.heard,
      Array.from({ length: 100 }, (_, message) => `message ${message}`),
    )
    t.ok(other.every((message) => message === 'hello'))
    t.equal(hearer.ready(), 1)
  })

  t.test('a listener that fails does not keep others from hearing', async (t) => {
    const { link, heard, warnings } = await openStanding(t, url)
    const failing = () => {
      throw new Error('broken listener')
    }
    link.subscribe(channel, { onMessage: failing, onReady: failing })
    await until('it was told', waitMs, () => warnings.length === 1)
    link.subscribe(channel, { onMessage: (message) => void heard.push(`again ${message}`), onReady: () => undefined })
    link.publish(channel, 'news')
    await until('the others heard', waitMs, () => heard.includes('again news') && heard.includes('news'))
    t.match(warnings.slice(0, 2), [/broken listener/, /broken listener/])
  })

  t.test('a subscription that was cut stands again by itself, and says so', async (t) => {
    const { link, warnings, heard, ready } = await openStanding(t, url)
    const killer = await openStanding(t, url)
    const before = await connectionIds(killer.link, 'promptsync:subscriber')
    const own = await openStanding(t, url)
    const [id = ''] = (await connectionIds(killer.link, 'promptsync:subscriber')).filter((id) => !before.includes(id))
    await killConnections(killer.link, id)
    await until('it stands again', waitMs, () => own.ready() === 2)
    killer.link.publish(channel, 'after')
    await until('it hears again', waitMs, () => own.heard.includes('after') && heard.includes('after'))
    await until('the log says so', waitMs, () => own.warnings.length === 2)
    t.match(own.warnings, [/^Redis is away: /, 'Redis is back.'])
    t.equal(own.link.counts.subscribed, 2)
    t.equal(own.link.counts.failures, 0, 'and no read or write was disturbed')
    t.equal(ready(), 1)
    t.same(warnings, [])
    t.equal(link.state().subscriber, 'up')
  })

  t.test('a message that is sent while its connection is cut arrives all the same', async (t) => {
    const killer = await openStanding(t, url)
    const before = await connectionIds(killer.link, 'promptsync:writes')
    const sender = await openStanding(t, url)
    const [id = ''] = (await connectionIds(killer.link, 'promptsync:writes')).filter((id) => !before.includes(id))
    await killConnections(killer.link, id)
    sender.link.publish(channel, 'through')
    await until('it is heard', waitMs, () => killer.heard.includes('through'))
    t.pass()
  })

  t.test('closing waits for what was published last', async (t) => {
    const [sender, hearer] = [await openStanding(t, url), await openStanding(t, url)]
    sender.link.publish(channel, 'last words')
    await sender.link.close()
    await until('it is heard', waitMs, () => hearer.heard.includes('last words'))
    t.equal(sender.link.counts.published, 1)
  })
}
