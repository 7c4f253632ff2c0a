import type { ServerOptions } from 'node:http'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Deps } from '../deps.js'
import { AppError, tryLater } from '../errors.js'
import { knownPlan } from '../features/reads/plans.service.js'
import { anonymous } from '../lib/access.js'
import {
  addressKey,
  bucketQuota,
  createLimits,
  guessesPerMinute,
  type Limits,
  lowReads,
  type Quota,
  rateExceeded,
  rateFields,
  takeRead,
} from '../lib/limits.js'
import type { HeldProject } from '../lib/read-cache.js'
import { FetchParams } from '../lib/schemas.js'
import { hashHex, sentSecret } from '../lib/secrets.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True where an overloaded instance answers all the same: by what costs next to nothing, or who asks for its state. */
    neverShed?: boolean
  }
  interface FastifyInstance {
    limits: Limits
  }
}

/** How long clients may take, and when an instance is overloaded. */
export type ServerLimits = {
  /** From the connection, or the first byte of a request, until its headers are there. */
  headersTimeoutMs: number
  /** Until the request is there, body and all: a push of the largest size may take this long. */
  requestTimeoutMs: number
  /** Without a byte either way while a request or an answer is on its way. */
  idleTimeoutMs: number
  /** Between two requests. Longer than proxies keep theirs, or they would send into a connection that is being closed. */
  keepAliveTimeoutMs: number
  connectionsCheckingIntervalMs: number
  maxConnections: number
  /** The event loop is late when a turn takes this long in the mean of a sample. */
  maxEventLoopDelayMs: number
  pressureSampleMs: number
  /** In how many samples in a row it has to have been late before requests are refused. */
  lateSamples: number
}

/**
 * One long turn, a collection of garbage say, or a machine that stood still, lifts the mean of a sample of one second
 * just once. An event loop that drowns is late in every sample.
 */
export const serverLimits: ServerLimits = {
  headersTimeoutMs: 15_000,
  requestTimeoutMs: 120_000,
  idleTimeoutMs: 60_000,
  keepAliveTimeoutMs: 72_000,
  connectionsCheckingIntervalMs: 5_000,
  maxConnections: 10_000,
  maxEventLoopDelayMs: 250,
  pressureSampleMs: 1_000,
  lateSamples: 2,
}

/** The limits as Fastify takes them when it makes its server. */
export function serverOptions(limits: ServerLimits) {
  const http: ServerOptions = {
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: limits.connectionsCheckingIntervalMs,
  }
  return {
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.idleTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    http,
  }
}

const namespace = 'promptsync:limit:'
const windowMs = 60_000
const maxWriters = 10_000
/** They tell whoever watches over an overloaded instance that it is one. */
const statusRoutes = new Set(['/livez', '/readyz', '/health', '/metrics'])

/**
 * Bounds what one caller, and all together, may ask of this instance. Registered before the keys are checked, so that
 * what is shed costs nothing; reads and writes are counted after, so that a refusal that is the caller's own comes first.
 */
export const limitsPlugin = fp(
  async (app: FastifyInstance, server: ServerLimits) => {
    const limits = createLimits(app.deps.config, app.deps.elapsed)
    app.decorate('limits', limits)
    app.server.maxConnections = server.maxConnections
    app.addHook('onRoute', (route) => {
      if (statusRoutes.has(route.url)) route.config = { ...route.config, neverShed: true }
    })
    await app.register(underPressure, {
      maxEventLoopDelay: server.maxEventLoopDelayMs,
      sampleInterval: server.pressureSampleMs,
      pressureHandler: shedding(app, limits, server),
    })
    slowGuesses(app, limits)

    const countWrite = Number.isFinite(limits.writesPerMinute) ? await writeCounter(app, limits) : null
    app.addHook('onRoute', (route) => {
      const { scope } = route.config ?? {}
      if (scope === undefined || scope === 'public') return
      const hooks = [route.preParsing ?? []].flat()
      if (!isSafe(route)) hooks.push(letWork)
      // What changes nothing never waits for a Redis, so it is counted here.
      if (isSafe(route) || scope === 'prompts:read') hooks.push(readLimit(app, limits))
      else if (countWrite) hooks.push(writeLimit(limits, countWrite))
      route.preParsing = hooks
    })
  },
  { name: 'limits' },
)

function isSafe({ method }: Pick<RouteOptions, 'method'>): boolean {
  return [method].flat().every((name) => name === 'GET' || name === 'HEAD')
}

/** Whose limit a request counts for. */
function callerOf({ actor, ip }: FastifyRequest): string {
  return actor.keyId ?? addressKey(ip)
}

function inWords({ actor, ip }: FastifyRequest): string {
  return actor === anonymous ? `The address ${ip}` : `Key "${actor.name}"`
}

function readLimit({ begun }: FastifyInstance, limits: Limits) {
  return (request: FastifyRequest, reply: FastifyReply, _body: unknown, done: HookHandlerDoneFunction): void => {
    const caller = callerOf(request)
    const waitMs = begun.get(request.raw)?.isCounted ? 0 : takeRead(limits, caller)
    if (waitMs > 0) {
      limits.counts.reads += 1
      done(rateExceeded(bucketQuota('reads', limits.readsPerMinute, 0, waitMs), inWords(request)))
      return
    }
    const low = lowReads(limits, caller)
    if (low) reply.headers(rateFields(low))
    done()
  }
}

type CountWrite = (request: FastifyRequest) => Promise<Quota>

function writeLimit(limits: Limits, countWrite: CountWrite) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const quota = await countWrite(request)
    if (quota.waitMs > 0) {
      limits.counts.writes += 1
      throw rateExceeded(quota, inWords(request))
    }
    reply.headers(rateFields(quota))
  }
}

/** Counts writes over all instances that share a Redis, and on this one alone while it is away: neither refused nor unlimited. */
async function writeCounter(app: FastifyInstance, limits: Limits): Promise<CountWrite> {
  const { redis } = app.deps
  await app.register(rateLimit, {
    global: false,
    max: limits.writesPerMinute,
    timeWindow: windowMs,
    keyGenerator: callerOf,
    ...(redis ? { redis: redis.client, nameSpace: namespace } : { cache: maxWriters }),
  })
  const count = app.createRateLimit()
  return async (request) => {
    const caller = callerOf(request)
    if (redis && !isUp(redis)) return countAlone(limits, caller)
    // The link to Redis tells of its failures itself.
    const counted = await count(request).catch(() => null)
    if (counted === null || counted.isAllowed) return countAlone(limits, caller)
    const { max, remaining, ttl, isExceeded } = counted
    return { name: 'writes', perMinute: max, left: remaining, resetMs: ttl, waitMs: isExceeded ? Math.max(1, ttl) : 0 }
  }
}

function isUp(redis: NonNullable<Deps['redis']>): boolean {
  const { commands, breaker } = redis.state()
  return commands === 'up' && breaker === 'closed'
}

function countAlone(limits: Limits, caller: string): Quota {
  limits.counts.writesCountedAlone += 1
  const waitMs = limits.writes.take(caller)
  return bucketQuota('writes', limits.writesPerMinute, limits.writes.remaining(caller), waitMs)
}

/**
 * An address that has sent too many unknown keys waits with the next one. The keys that are known here go on: many
 * callers may share an address, and one of them must not lock the others out.
 */
function slowGuesses(app: FastifyInstance, limits: Limits): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const address = addressKey(request.ip)
    if (limits.guesses.remaining(address) > 0 || !sendsUnknownKey(app.deps, request)) {
      done()
      return
    }
    limits.counts.guesses += 1
    const waitMs = 60_000 / guessesPerMinute
    done(rateExceeded(bucketQuota('unknown-keys', guessesPerMinute, 0, waitMs), `The address ${request.ip}`))
  })
  app.addHook('onError', async (request, _reply, error) => {
    if (error instanceof AppError && error.code === 'auth.invalid') limits.guesses.take(addressKey(request.ip))
  })
}

function sendsUnknownKey({ keys }: Deps, { headers }: FastifyRequest): boolean {
  const { authorization, 'x-api-key': apiKey } = headers
  const secret = authorization === undefined ? apiKey : authorization.replace(/^Bearer +/i, '').trimEnd()
  return typeof secret === 'string' && !keys.has(hashHex(secret))
}

/** Refuses while the event loop is late and was so for some samples, of which it tells once. */
function shedding(app: FastifyInstance, limits: Limits, { pressureSampleMs, lateSamples }: ServerLimits) {
  let late = 0
  const timer = setInterval(() => {
    const before = late
    late = app.isUnderPressure() ? late + 1 : 0
    limits.isShedding = late >= lateSamples
    if (late === lateSamples)
      app.log.warn('The event loop is late: requests are refused with server.busy until it has caught up.')
    if (late === 0 && before >= lateSamples) app.log.warn('The event loop has caught up.')
  }, pressureSampleMs)
  timer.unref()
  app.addHook('onClose', async () => clearInterval(timer))
  return (request: FastifyRequest): void => {
    if (!limits.isShedding || request.routeOptions.config.neverShed) return
    if (isInMemory(app.deps, request) || isSureOfAnAnswer(app.deps, request)) return
    limits.counts.shed += 1
    throw tryLater('server.busy', 'The server has more to do than it can. Nothing was changed; try again.', 1)
  }
}

/** Whether a fetch can be answered from memory, which costs hardly more than to refuse it. */
function isInMemory(deps: Deps, request: FastifyRequest): boolean {
  const { readsPrompt } = request.routeOptions.config
  if (!readsPrompt || !isSafe(request) || sendsUnknownKey(deps, request)) return false
  const prompt = FetchParams.safeParse(request.params)
  const held = prompt.success ? heldBy(deps, request) : undefined
  return held !== undefined && knownPlan(deps, held, prompt.data?.name ?? '', prompt.data?.ref ?? '') !== null
}

/** Whether a caller who is known asks for what is always answered: by the route, which loads no prompt meanwhile. */
function isSureOfAnAnswer({ keys, now }: Deps, request: FastifyRequest): boolean {
  if (!request.routeOptions.config.withoutProject || !isSafe(request)) return false
  const secret = sentSecret(request.headers)
  const key = secret === null ? undefined : keys.get(hashHex(secret))
  return key !== undefined && key.revokedAt === null && (key.expiresAt === null || key.expiresAt > now())
}

/** The project that a request is about, if it is held: the named one, else the key's own, else `default`. */
function heldBy({ cache: { projects, slugs }, keys }: Deps, { headers, query }: FastifyRequest): HeldProject | undefined {
  const slug = (query as Record<string, unknown>).project ?? headers['x-promptsync-project']
  const secret = sentSecret(headers)
  const own = secret === null ? null : keys.get(hashHex(secret))?.actor.projectId
  return projects.get(slug === undefined && own ? `${own}` : (slugs.get(String(slug ?? 'default')) ?? ''))
}

/**
 * A connection without a byte for too long is cut, but not while the server works on a whole request: a large push is
 * answered late, and cutting it off would leave its caller without knowing what came of it.
 */
function letWork(request: FastifyRequest, reply: FastifyReply, _body: unknown, done: HookHandlerDoneFunction): void {
  reply.raw.on('timeout', (socket) => {
    if (!request.raw.complete || reply.raw.headersSent) socket.destroy()
  })
  done()
}
