import { type Connection, connectPostgres } from '../../../src/database/connect.js'
import { migrate } from '../../../src/database/migrate.js'
import { type Service, startService, type Teardown } from '../../helpers/service.js'
import { until } from '../../helpers/until.js'

type Options = {
  databaseUrl: string
  redisUrls?: string[]
  env?: Record<string, string>
  /** Sees and disturbs what this instance asks of its database. */
  watch?: (connection: Connection) => Connection
}

const linkMs = 10_000

/** An instance in this process, on a Postgres and a Redis that others may use, too. */
export async function startInstance(t: Teardown, options: Options): Promise<Service> {
  const { databaseUrl, redisUrls = [], env = {}, watch = (connection) => connection } = options
  const opened = await connectPostgres(databaseUrl)
  t.teardown(() => opened.close())
  const connection = watch(opened)
  const redis: Record<string, string> = redisUrls.length === 0 ? {} : { REDIS_URL: redisUrls.join(',') }
  const instance = await startService(t, { connection, env: { PROMPTSYNC_MAX_STALENESS: '1s', ...redis, ...env } })
  await untilLinked(instance)
  return instance
}

/** Brings a new database to the schema of now. */
export async function migrateDatabase(url: string): Promise<void> {
  const connection = await connectPostgres(url)
  try {
    await migrate(connection)
  } finally {
    await connection.close()
  }
}

/** Whether an instance reads from its Redis and hears what others announce there. */
export function isLinked({ deps: { redis, cache } }: Service): boolean {
  if (!redis) return true
  const { commands, breaker, subscriber } = redis.state()
  return commands === 'up' && breaker === 'closed' && subscriber === 'up' && cache.databaseId !== null
}

export function untilLinked(instance: Service, withinMs = linkMs): Promise<void> {
  return until('the instance is linked to its Redis', withinMs, () => isLinked(instance))
}
