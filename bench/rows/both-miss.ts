import { type RedisServer, startRedis, withRedis } from '../../test/faults/helpers/redis-server.js'
import { startBaseline } from '../lib/baseline.js'
import { fillCatalogue, projectOf, promptOf } from '../lib/catalogue.js'
import { takeTurns } from '../lib/compare.js'
import { goingOn } from '../lib/load.js'
import { describeRise, readMetrics } from '../lib/metrics.js'
import { readEach } from '../lib/reader.js'
import { type Scope, within } from '../lib/scope.js'
import { type Answer, ask, makeDatabase, makeReadKey, type Stage, startInstance } from '../lib/stage.js'
import { startStatementCounter } from '../lib/statement-counter.js'
import { type Row, throughputLine } from './row.js'

/** More than any run asks for, so that every name is asked for once. */
const namesPerSecond = 30_000
const countedReads = 500

const database = 'both_miss'
const pathOf = (n: number | string) => `/prompts/${promptOf(n)}/production`

export const bothMiss: Row = {
  name: 'both-miss',
  runs: 'always',
  async measure(scope, stage) {
    const names = (stage.options.warmUpSeconds + stage.options.seconds) * namesPerSecond
    const databaseUrl = await makeDatabase(scope, stage, database)
    stage.say(`  fills Postgres with ${names} prompts`)
    const session = await stage.postgres.connect(database)
    await fillCatalogue(session, { projects: 1, promptsPerProject: names, versionsPerPrompt: 1 })
    const redis = await startRedis(scope)
    const { statements, headers, answer } = await countFirst(scope, stage, databaseUrl, redis)
    const baseline = await startPostgresBaseline(scope, stage, databaseUrl, answer)

    const requests = { path: pathOf('{n}'), headers, count: names }
    const rises: string[] = []
    /** A fresh instance and an empty Redis for each run, warmed by names that do not come again. */
    const coldly = (seconds: number) =>
      within(scope, async (run) => {
        await withRedis(redis.port, (client) => client.flushall())
        const { url } = await startInstance(run, stage, { databaseUrl, redisUrl: redis.url })
        const load = goingOn(stage.load, url, requests)
        await load(stage.options.warmUpSeconds)
        const before = await readMetrics(url)
        const measured = await load(seconds)
        if (measured.next > names) throw new Error(`${measured.next} requests were sent for ${names} names.`)
        rises.push(describeRise(before, await readMetrics(url)))
        return measured
      })
    const contestants = { service: coldly, bare: goingOn(stage.load, baseline, requests) }
    const results = await takeTurns(contestants, stage.options, stage.say)
    return {
      lines: [throughputLine('both miss', results.service, results.bare, 0.5)],
      notes: [
        `both-miss: ${countedReads} cold reads sent ${statements} statements to Postgres.`,
        `both-miss: ${names} names, each asked for once a run; in the last run ${rises.at(-1)}.`,
      ],
    }
  },
}

type First = { statements: number; headers: Record<string, string>; answer: Answer }

/** Counts the statements of cold reads, away from any measurement, and makes the key and the answer that the others need. */
function countFirst(scope: Scope, stage: Stage, databaseUrl: string, redis: RedisServer): Promise<First> {
  return within(scope, async (own) => {
    const counter = await startStatementCounter(own, databaseUrl)
    const { url } = await startInstance(own, stage, { databaseUrl: counter.url, redisUrl: redis.url })
    const headers = { authorization: `Bearer ${await makeReadKey(url, projectOf(0))}` }
    const answer = await ask(url, pathOf(0), { headers })
    counter.take()
    const paths = Array.from({ length: countedReads }, (_, n) => pathOf(n + 1))
    await readEach(url, paths, headers)
    const statements = [...counter.take().values()].reduce((sum, count) => sum + count, 0)
    return { statements, headers, answer }
  })
}

/** Bodies of the service's own, each under the name that is asked for. */
async function startPostgresBaseline(scope: Scope, { postgres }: Stage, url: string, { body, headers }: Answer): Promise<string> {
  const session = await postgres.connect(database)
  await session.query('CREATE TABLE baseline_bodies (name text PRIMARY KEY, body bytea NOT NULL)')
  const sql = `INSERT INTO baseline_bodies SELECT name, convert_to(replace($1, $2, name), 'UTF8') FROM prompts`
  await session.query(sql, [body, promptOf(0)])
  await session.query('GRANT SELECT ON baseline_bodies TO PUBLIC')
  await session.query('VACUUM ANALYZE baseline_bodies')
  return startBaseline(scope, { from: 'postgres', url, contentType: headers['content-type'] ?? '' })
}
