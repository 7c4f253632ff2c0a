import fp from 'fastify-plugin'
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { Deps } from '../deps.js'
import { createSourceCounter } from '../features/sources/source-counts.service.js'
import {
  createDurationFamily,
  type DurationFamily,
  type DurationSeries,
  durationBounds,
  histogramSamples,
  type Sample,
} from '../lib/durations.js'
import type { Limits } from '../lib/limits.js'
import type { HeldProject } from '../lib/read-cache.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where to note how long requests of a kind took. */
    durationsOf(method: string, route: string, status: string): DurationSeries
  }
}

/** What the instance measures, for Prometheus. No name of a tenant is in it. */
export const metricsPlugin = fp(
  async (app) => {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    const durations = createDurationFamily(durationBounds)
    app.decorate('durationsOf', (method: string, route: string, status: string) => durations.of({ method, route, status }))
    // The pattern of the route, never its parameters.
    app.addHook('onResponse', (request, reply, done) => {
      const route = request.routeOptions.url ?? 'none'
      app.durationsOf(request.method, route, String(reply.statusCode)).observe(reply.elapsedTime / 1_000)
      done()
    })
    const ofRequests = {
      name: 'promptsync_http_request_duration_seconds',
      help: 'How long requests took, by method, route pattern and status.',
    }
    const all = [
      histogram(ofRequests, durations),
      ...readMetrics(app.deps),
      ...dependencyMetrics(app.deps),
      ...limitMetrics(app.limits),
      ...sourceMetrics(app.deps),
    ]
    for (const one of all) registry.registerMetric(one)
    app.addHook('onClose', async () => registry.clear())
    app.get(
      '/metrics',
      {
        config: { scope: 'public' },
        logLevel: 'warn',
        schema: { operationId: 'getMetrics', summary: 'Metrics for Prometheus', tags: ['operations'] },
      },
      async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
    )
  },
  { name: 'metrics', dependencies: ['limits'] },
)

type Described = { name: string; help: string }

/** Numbers that are counted by us: counting every read through the library would cost as much as the read. */
function metric(
  type: 'counter' | 'gauge' | 'histogram',
  { name, help }: Described,
  values: () => Sample[] | Promise<Sample[]>,
): Metric {
  const told = { name, help, type, aggregator: 'sum' }
  return { ...told, get: async () => ({ ...told, values: await values() }), reset: () => undefined } as unknown as Metric
}

function histogram(described: Described, family: DurationFamily): Metric {
  return metric('histogram', described, () => histogramSamples(described.name, family.all(), family.bounds))
}

/** One number for each value of a label, or a single one. */
function numbers(
  type: 'counter' | 'gauge',
  described: Described,
  label: string | null,
  read: () => Record<string, number> | Promise<Record<string, number>>,
): Metric {
  return metric(type, described, async () =>
    Object.entries(await read()).map(([key, value]) => ({
      metricName: described.name,
      labels: label === null ? {} : { [label]: key },
      value,
    })),
  )
}

function readMetrics({ cache, elapsed }: Deps): Metric[] {
  const { counts, entries, projects, misses, flights } = cache
  const loads = { name: 'promptsync_load_duration_seconds', help: 'How long reads of the database took.' }
  return [
    numbers('counter', { name: 'promptsync_reads_total', help: 'Reads by the level that answered.' }, 'level', () => counts.hits),
    numbers(
      'counter',
      { name: 'promptsync_resolutions_total', help: 'Answers of /resolve by their level.' },
      'level',
      () => counts.resolved,
    ),
    numbers('counter', { name: 'promptsync_read_misses_total', help: 'Reads that the database had nothing for.' }, null, () => ({
      misses: counts.misses,
    })),
    numbers(
      'counter',
      { name: 'promptsync_stale_reads_total', help: 'Reads answered though they could not be confirmed.' },
      null,
      () => ({
        stale: counts.stale,
      }),
    ),
    metric('histogram', loads, () => histogramSamples(loads.name, Object.values(counts.loads), durationBounds)),
    numbers('gauge', { name: 'promptsync_loads_under_way', help: 'Reads of the database under way.' }, null, () => ({
      loads: flights.underWay(),
    })),
    numbers('gauge', { name: 'promptsync_cache_bytes', help: 'What is kept in memory, in bytes.' }, 'part', () => ({
      entries: entries.calculatedSize ?? 0,
      projects: projects.calculatedSize ?? 0,
    })),
    numbers('gauge', { name: 'promptsync_cache_entries', help: 'What is kept in memory, in number.' }, 'part', () => ({
      entries: entries.size,
      projects: projects.size,
      misses: misses.size,
    })),
    numbers('gauge', { name: 'promptsync_cache_limit_bytes', help: 'PROMPTSYNC_CACHE_BYTES.' }, null, () => ({
      limit: cache.bytes,
    })),
    numbers(
      'gauge',
      {
        name: 'promptsync_epoch_lag_seconds',
        help: 'How long ago the epoch was confirmed of the project, served within a minute, that waits longest.',
      },
      null,
      () => ({ lag: lagSeconds(projects.values(), elapsed()) }),
    ),
  ]
}

const servedMs = 60_000

/** How long ago the one was confirmed that waits longest, of those that were served within a minute; 0 for none. */
export function lagSeconds(projects: Iterable<Pick<HeldProject, 'usedAtMs' | 'confirmedAtMs'>>, nowMs: number): number {
  let longestMs = 0
  for (const { usedAtMs, confirmedAtMs } of projects) {
    if (nowMs - usedAtMs < servedMs) longestMs = Math.max(longestMs, nowMs - confirmedAtMs)
  }
  return longestMs / 1_000
}

function dependencyMetrics({ database, redis }: Deps): Metric[] {
  const ofBoth = (ofDatabase: number, ofRedis: () => number) => ({ database: ofDatabase, ...(redis ? { redis: ofRedis() } : {}) })
  const breakers = [
    numbers(
      'gauge',
      { name: 'promptsync_breaker_open', help: '1 while a dependency is away and nobody waits for it.' },
      'dependency',
      () => ofBoth(Number(database.isAway()), () => Number(redis !== null && isAway(redis))),
    ),
    numbers('counter', { name: 'promptsync_breaker_opened_total', help: 'How often a dependency went away.' }, 'dependency', () =>
      ofBoth(database.losses(), () => redis?.counts.opened ?? 0),
    ),
  ]
  if (!redis) return breakers
  const events = { name: 'promptsync_redis_events_total', help: 'What came of the commands and messages of Redis.' }
  const subscribed = { name: 'promptsync_redis_subscribed', help: '1 while the messages of other instances are heard.' }
  return [
    ...breakers,
    numbers('counter', events, 'event', () => ({ ...redis.counts })),
    numbers('gauge', subscribed, null, () => ({ subscribed: Number(redis.state().subscriber === 'up') })),
  ]
}

/** A lost connection opens no breaker: there is nothing to ask that could fail. */
function isAway(redis: NonNullable<Deps['redis']>): boolean {
  const { commands, breaker } = redis.state()
  return commands !== 'up' || breaker !== 'closed'
}

function limitMetrics({ counts }: Limits): Metric[] {
  return [
    numbers(
      'counter',
      { name: 'promptsync_refused_total', help: 'Requests refused for their rate, or because the instance was overloaded.' },
      'why',
      () => ({
        reads: counts.reads,
        writes: counts.writes,
        guesses: counts.guesses,
        shed: counts.shed,
      }),
    ),
    numbers(
      'counter',
      { name: 'promptsync_writes_counted_alone_total', help: 'Writes that could not be counted for all instances.' },
      null,
      () => ({
        writes: counts.writesCountedAlone,
      }),
    ),
  ]
}

/** Each instance tells its own runs, and of the sources what the database has for all. */
function sourceMetrics(deps: Deps): Metric[] {
  const count = createSourceCounter(deps)
  return [
    histogram(
      {
        name: 'promptsync_sync_duration_seconds',
        help: 'How long syncs of sources took, by what asked for them and how they ended.',
      },
      deps.syncDurations,
    ),
    numbers(
      'gauge',
      { name: 'promptsync_sources', help: 'Sources of all projects by their state.' },
      'state',
      async () => (await count()).sources,
    ),
    numbers(
      'gauge',
      { name: 'promptsync_sync_runs_open', help: 'Syncs of all projects that wait or are under way.' },
      'status',
      async () => (await count()).runs,
    ),
  ]
}
