import { setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { Deps } from '../deps.js'
import { createDurationSeries, type DurationSeries, histogramSamples } from '../lib/durations.js'
import { packageVersion } from '../lib/package-version.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where to note how long requests of a kind took. */
    durationsOf(method: string, route: string, status: string): DurationSeries
  }
}

const checkTimeoutMs = 1_000
const open = { config: { scope: 'public' as const }, logLevel: 'warn' as const }

/** Whether the process lives, whether it should get traffic, and what it measures. */
export const healthPlugin = fp(
  async (app) => {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    const durations = new Map<string, DurationSeries>()
    const seriesOf = (method: string, route: string, status: string) => {
      const key = `${method} ${route} ${status}`
      const known = durations.get(key)
      if (known) return known
      const made = createDurationSeries({ method, route, status }, durationBounds)
      durations.set(key, made)
      return made
    }
    app.decorate('durationsOf', seriesOf)
    registry.registerMetric(durationMetric(() => histogramSamples(durationName, durations.values(), durationBounds)))
    // The pattern of the route, never its parameters: names of tenants do not belong in metrics.
    app.addHook('onResponse', (request, reply, done) => {
      seriesOf(request.method, request.routeOptions.url ?? 'none', String(reply.statusCode)).observe(reply.elapsedTime / 1_000)
      done()
    })
    app.addHook('onClose', async () => registry.clear())

    app.get('/livez', { ...open, schema: { ...summary('getLivez', 'Whether the process lives') } }, async () => ({
      status: 'ok',
    }))

    app.get(
      '/readyz',
      { ...open, schema: { ...summary('getReadyz', 'Whether to send traffic here') } },
      async (_request, reply) => {
        if (app.isClosing()) return reply.code(503).header('retry-after', '5').send({ status: 'closing' })
        return { status: statusOf(await checkDatabase(app.deps)) }
      },
    )

    app.get(
      '/health',
      { ...open, schema: { ...summary('getHealth', 'The state of the instance and what it depends on') } },
      async () => {
        const database = await checkDatabase(app.deps)
        return {
          status: statusOf(database),
          version: packageVersion,
          uptimeSeconds: Math.floor(process.uptime()),
          dependencies: { database: { kind: app.deps.connection.kind, status: database } },
        }
      },
    )

    app.get('/metrics', { ...open, schema: { ...summary('getMetrics', 'Metrics for Prometheus') } }, async (_request, reply) =>
      reply.type(registry.contentType).send(await registry.metrics()),
    )
  },
  { name: 'health' },
)

const durationName = 'promptsync_http_request_duration_seconds'
const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** A histogram that is counted by us, since counting every read through the library would cost as much as the read. */
function durationMetric(values: () => object[]): Metric {
  const help = 'How long requests took, by method, route pattern and status.'
  const metric = { name: durationName, help, type: 'histogram', aggregator: 'sum' }
  return { ...metric, get: async () => ({ ...metric, values: values() }), reset: () => undefined } as unknown as Metric
}

function summary(operationId: string, text: string) {
  return { operationId, summary: text, tags: ['operations'] }
}

function statusOf(database: 'up' | 'down'): 'ok' | 'degraded' {
  return database === 'up' ? 'ok' : 'degraded'
}

async function checkDatabase({ db }: Deps): Promise<'up' | 'down'> {
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
