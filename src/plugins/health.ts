import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import type { Deps } from '../deps.js'
import { packageVersion } from '../lib/package-version.js'

const checkTimeoutMs = 1_000
const open = { config: { scope: 'public' as const }, logLevel: 'warn' as const }

/** Whether the process lives, and whether it should get traffic. */
export const healthPlugin = fp(
  async (app) => {
    app.get('/livez', { ...open, schema: { ...summary('getLivez', 'Whether the process lives') } }, async () => ({
      status: 'ok',
    }))

    app.get(
      '/readyz',
      { ...open, schema: { ...summary('getReadyz', 'Whether to send traffic here') } },
      async (_request, reply) => {
        if (app.isClosing()) return reply.code(503).header('retry-after', '5').send({ status: 'closing' })
        return { status: statusOf(await checkDependencies(app.deps)) }
      },
    )

    app.get(
      '/health',
      { ...open, schema: { ...summary('getHealth', 'The state of the instance and what it depends on') } },
      async () => {
        const dependencies = await checkDependencies(app.deps)
        return {
          status: statusOf(dependencies),
          version: packageVersion,
          uptimeSeconds: Math.floor(process.uptime()),
          dependencies,
        }
      },
    )
  },
  { name: 'health' },
)

function summary(operationId: string, text: string) {
  return { operationId, summary: text, tags: ['operations'] }
}

type Status = 'up' | 'down'
type Dependencies = { database: { kind: string; status: Status }; redis?: { status: Status } }

function statusOf({ database, redis }: Dependencies): 'ok' | 'degraded' {
  return database.status === 'up' && redis?.status !== 'down' ? 'ok' : 'degraded'
}

async function checkDependencies(deps: Deps): Promise<Dependencies> {
  const { connection, redis } = deps
  const database = { kind: connection.kind, status: await checkDatabase(deps) }
  if (!redis) return { database }
  const { commands, subscriber } = redis.state()
  return { database, redis: { status: commands === 'up' && subscriber === 'up' ? 'up' : 'down' } }
}

async function checkDatabase({ database, db }: Deps): Promise<'up' | 'down'> {
  if (database.isAway()) return 'down'
  const timeout = new AbortController()
  const late = delay(checkTimeoutMs, 'down' as const, { signal: timeout.signal, ref: false }).catch(() => 'down' as const)
  const asked = db.$queryRaw`SELECT 1`.then(
    () => 'up' as const,
    () => 'down' as const,
  )
  const status = await Promise.race([asked, late])
  timeout.abort()
  return status
}
