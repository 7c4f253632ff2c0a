import { Redis } from 'ioredis'
import { startRedis } from '../../test/faults/helpers/redis-server.js'
import { startBaseline } from '../lib/baseline.js'
import { fillCatalogue, projectOf, promptOf } from '../lib/catalogue.js'
import { takeTurns } from '../lib/compare.js'
import { goingOn } from '../lib/load.js'
import { describeRise, readMetrics } from '../lib/metrics.js'
import { readEach } from '../lib/reader.js'
import { ask, makeDatabase, makeReadKey, startInstance } from '../lib/stage.js'
import { type Row, throughputLine } from './row.js'

/** About 60 MB, of which the smallest L1 holds few: each is out of it again when its turn comes. */
const prompts = 20_000
const commandTimeoutMs = 5_000

export const redisHit: Row = {
  name: 'redis-hit',
  runs: 'always',
  async measure(scope, stage) {
    const databaseUrl = await makeDatabase(scope, stage, 'redis_hit')
    const session = await stage.postgres.connect('redis_hit')
    await fillCatalogue(session, { projects: 1, promptsPerProject: prompts, versionsPerPrompt: 1 })
    const { url: redisUrl } = await startRedis(scope)
    const redis = new Redis(redisUrl, { commandTimeout: commandTimeoutMs })
    scope.teardown(() => redis.disconnect())
    const env = { PROMPTSYNC_CACHE_BYTES: '1mb' }
    const instance = await startInstance(scope, stage, { databaseUrl, redisUrl, env })
    const headers = { authorization: `Bearer ${await makeReadKey(instance.url, projectOf(0))}` }

    const path = (n: number | string) => `/prompts/${promptOf(n)}/production`
    stage.say(`  fills Redis with ${prompts} prompts`)
    await readEach(
      instance.url,
      Array.from({ length: prompts }, (_, n) => path(n)),
      headers,
    )
    const keys = await redis.dbsize()
    const { body, headers: fields } = await ask(instance.url, path(0), { headers })
    await fillBaseline(redis, body)
    const contentType = fields['content-type'] ?? ''
    const baseline = await startBaseline(scope, { from: 'redis', url: redisUrl, contentType })

    const requests = { path: path('{n}'), headers, count: prompts }
    const before = await readMetrics(instance.url)
    const contestants = { service: goingOn(stage.load, instance.url, requests), bare: goingOn(stage.load, baseline, requests) }
    const results = await takeTurns(contestants, stage.options, stage.say)
    const rise = describeRise(before, await readMetrics(instance.url))
    return {
      lines: [throughputLine('L1 miss, Redis hit', results.service, results.bare, 0.75)],
      notes: [`redis-hit: ${prompts} prompts, L1 of 1 MB, ${keys} keys in Redis before the first run; ${rise}.`],
    }
  },
}

/** The bodies as they are sent, each under the name that the baseline is asked for. */
async function fillBaseline(redis: Redis, body: string): Promise<void> {
  const batch = 1_000
  for (let from = 0; from < prompts; from += batch) {
    const pairs = Array.from({ length: batch }, (_, index) => promptOf(from + index)).flatMap((name) => [
      name,
      body.replaceAll(promptOf(0), name),
    ])
    await redis.mset(...pairs)
  }
}
