import t from 'tap'
import type { Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { migrateDatabase, startInstance, untilLinked } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedis } from './helpers/redis-server.js'
import { redisKinds, startSharedRedis } from './helpers/shared-redis.js'

const patienceMs = 20_000
const writesPerMinute = 40
/** No answer of Redis is waited for any longer; the rest is what a push takes on a busy machine. */
const writeMs = 2_000

t.setTimeout(100_000)
const postgres = await startPostgres(t)
let databases = 0

type Tap = Pick<typeof t, 'comment' | 'equal' | 'match' | 'ok' | 'strictSame' | 'teardown'>
type Write = { status: number; left: number; ms: number; code: string | undefined }

async function startPair(t: Tap, redisUrls: string[]): Promise<[Service, Service]> {
  databases += 1
  const databaseUrl = await postgres.createDatabase(`limits_${databases}`)
  await migrateDatabase(databaseUrl)
  const env = { PROMPTSYNC_WRITE_LIMIT: String(writesPerMinute) }
  const start = () => startInstance(t, { databaseUrl, redisUrls, env })
  return [await start(), await start()]
}

const aloneOf = ({ app }: Service) => app.limits.counts.writesCountedAlone
let pushes = 0

/** A push of something new, and what was said of the limit. */
async function write(instance: Service): Promise<Write> {
  pushes += 1
  const fromMs = performance.now()
  const body = { prompts: [{ name: 'counted', content: `push ${pushes}` }] }
  const { status, headers, body: answer } = await instance.call('/prompts', { body })
  const left = Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1] ?? Number.NaN)
  return { status, left, ms: performance.now() - fromMs, code: answer.code }
}

/**
 * One minute for all instances: what one of them takes the other one has no more. A write for which Redis had no answer in
 * time is counted alone, as it may be where more than this test has to be done; then they are asked once more.
 */
async function countsTogether(t: Tap, pair: [Service, Service]): Promise<void> {
  const [first, second] = pair
  let answers: Write[] = []
  await until('writes are counted together', patienceMs, async () => {
    await Promise.all(pair.map((instance) => untilLinked(instance)))
    const before = pair.map(aloneOf)
    answers = [await write(first), await write(second), await write(first)]
    return pair.every((instance, index) => aloneOf(instance) === before[index])
  })
  t.strictSame([...new Set(answers.map(({ status }) => status))], [201])
  const [one, two, three] = answers.map(({ left }) => left) as [number, number, number]
  t.strictSame([one - two, two - three], [1, 1], 'they count together')
}

/** While Redis refuses to count each instance does so by itself: writes go on up to the limit, and not beyond it. */
async function countsAlone(t: Tap, instance: Service): Promise<void> {
  const before = aloneOf(instance)
  const answers: Write[] = []
  while (answers.at(-1)?.status !== 429 && answers.length <= 2 * writesPerMinute) answers.push(await write(instance))
  const done = answers.slice(0, -1)
  t.strictSame([...new Set(done.map(({ status }) => status))], [201], `${done.length} writes went on`)
  t.ok(done.length >= writesPerMinute - before, 'as many as the limit lets through')
  t.match(answers.at(-1), { status: 429, code: 'rate.exceeded' }, 'and no more than it lets through')
  t.equal(aloneOf(instance) - before, answers.length, 'all of them were counted alone')
  const slowestMs = Math.max(...answers.map(({ ms }) => ms))
  t.ok(slowestMs < writeMs, `the slowest took ${slowestMs.toFixed(0)} ms`)
}

for (const kind of redisKinds) {
  t.test(`a Redis that is full refuses no write, ${kind}`, async (t) => {
    const redis = await startSharedRedis(t, kind)
    const pair = await startPair(t, redis.urls)
    await countsTogether(t, pair)
    await Promise.all(redis.nodes.map((node) => node.fill()))
    await countsAlone(t, pair[0])
    await Promise.all(redis.nodes.map((node) => node.unfill()))
    await countsTogether(t, pair)
  })
}

t.test('a Redis that has become read-only refuses no write', async (t) => {
  const redis = await startRedis(t)
  const replica = await redis.makeReplica()
  const pair = await startPair(t, [redis.url])
  await countsTogether(t, pair)
  await redis.failOverTo(replica)
  await countsAlone(t, pair[0])
  await redis.promote()
  await countsTogether(t, pair)
})
