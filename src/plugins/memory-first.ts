import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import fp from 'fastify-plugin'
import type { Deps } from '../deps.js'
import { draw, fetchCaching, isNotModified } from '../features/fetch/fetch.service.js'
import { keyRecheckMs } from '../features/reads/access.service.js'
import { isConfirmed } from '../features/reads/held-projects.service.js'
import { finishedFor, knownPlan, planFor } from '../features/reads/plans.service.js'
import { anonymous, type CheckedKey, hasScope } from '../lib/access.js'
import type { DurationSeries } from '../lib/durations.js'
import { addressKey, type Limits, lowReads, rateFields, takeRead } from '../lib/limits.js'
import { isPromptName } from '../lib/names.js'
import { type PlainQuery, parsePlainQuery } from '../lib/plain-query.js'
import { chooseBodyBy, type Finished, type Mode, type Plan, pointedAt, servedSide } from '../lib/plan.js'
import { connectionLines, fieldLines, prepareBody, prepareHead, sendPrepared } from '../lib/prepared-answer.js'
import type { HeldProject } from '../lib/read-cache.js'
import { hashHex } from '../lib/secrets.js'

const route = '/prompts/:name/:ref'

/**
 * Answers fetches before the framework sees them, so that they cost as little as can be: those whose answer is in memory,
 * even while everything else is shed, and those by alias that have to be loaded. It gives the same answers as the route:
 * whatever is not plain, allowed and confirmed, and whatever fails, is left to that. Requests that are injected always go
 * there.
 */
export const memoryFirstPlugin = fp(
  async (app) => {
    // Whose page asks decides on the answer then.
    if (app.deps.config.corsOrigins.length > 0) return
    const series = { 200: app.durationsOf('GET', route, '200'), 304: app.durationsOf('GET', route, '304') }
    const service = { deps: app.deps, limits: app.limits, series, write: createWriter(app.deps, app.server) }
    const others = app.server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
    app.server.removeAllListeners('request')
    app.server.on('request', (request, response) => {
      const leave = () => {
        for (const other of others) other.call(app.server, request, response)
      }
      if (app.isClosing() || !answer(service, request, response, leave)) leave()
    })
  },
  { name: 'memory-first', dependencies: ['closing', 'metrics', 'limits'] },
)

type Service = { deps: Deps; limits: Limits; series: Record<200 | 304, DurationSeries>; write: Write }

type Answer = { response: ServerResponse; head: string; body: Buffer | string }
type Write = (answer: Answer) => void

/**
 * Writes what is answered in one turn of the event loop at its end, all together: a client that is woken by each answer
 * alone costs the server more than the answers.
 */
function createWriter({ log, now }: Deps, server: Server): Write {
  let waiting: Answer[] = []
  const writeAll = () => {
    const ready = waiting
    waiting = []
    const connection = connectionLines(server.keepAliveTimeout, now())
    for (const { response, head, body } of ready) {
      try {
        sendPrepared(response, head, connection, body)
      } catch (err) {
        // One that cannot be written is in nobody else's way.
        log.error({ err }, 'An answer could not be written.')
        response.destroy()
      }
    }
  }
  return (answer) => {
    if (waiting.push(answer) === 1) setImmediate(writeAll)
  }
}

/** A request that is plain, of somebody who may read the project. */
type Asked = { target: Target; key: CheckedKey | null; held: HeldProject; caller: string; startedAtMs: number }

/** An outcome of a plan, finished before or not, with what only this request has of it. */
type Chosen = {
  mode: Mode
  bucket: number | null
  body: number
  finished: Finished | undefined
  version: string
  caching: string
}

/** Answers, now or once it is loaded, or does nothing and returns false. */
function answer(service: Service, request: IncomingMessage, response: ServerResponse, leave: () => void): boolean {
  const { deps } = service
  const asked = askedOf(deps, request)
  if (!asked) return false
  const plan = knownPlan(deps, asked.held, asked.target.name, asked.target.ref)
  const chosen = plan && choose(plan, asked)
  if (!chosen?.finished && !mayLoad(service.limits, asked, plan)) return false
  if (takeRead(service.limits, asked.caller) > 0) return false
  noteUse(deps, asked)
  if (chosen?.finished) {
    deps.cache.counts.hits.memory += 1
    sendChosen(service, request, response, asked, chosen, chosen.finished)
  } else loadAndSend(service, request, response, asked).catch(leave)
  return true
}

/** Of what is not in memory only aliases and pins are loaded here: other refs may be paths of other routes. */
function mayLoad(limits: Limits, { held, target: { name, ref } }: Asked, plan: Plan | null): boolean {
  return !limits.isShedding && (plan !== null || (isPromptName(name) && pointedAt(held.pointers, name, ref) !== null))
}

async function loadAndSend(service: Service, request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<void> {
  const plan = await planFor(service.deps, asked.held, asked.target.name, asked.target.ref)
  const chosen = choose(plan, asked)
  const finished = chosen.finished ?? (await finishedFor(service.deps, plan, chosen.mode, chosen.body))
  sendChosen(service, request, response, asked, chosen, finished)
}

function choose(plan: Plan, { target: { query } }: Asked): Chosen {
  const { mode, bucket } = draw(plan, query)
  const side = servedSide(plan, mode)
  const body = chooseBodyBy(side, query.tagText, () => query.tags)
  const finished = side.erased ? undefined : plan.outcomes[mode][body]
  return { mode, bucket, body, finished, version: side.version ?? '', caching: fetchCaching(plan.by) }
}

function sendChosen(
  { limits, series, write }: Service,
  { headers }: IncomingMessage,
  response: ServerResponse,
  { caller, startedAtMs }: Asked,
  { version, bucket, caching }: Chosen,
  finished: Finished,
): void {
  const low = lowReads(limits, caller)
  const isSame = isNotModified(headers['if-none-match'], finished.etag)
  const sent = sentOf(finished, version, caching)
  let head = isSame ? sent.unmodified : sent.whole
  // One that was sent is of a form that can be sent back.
  head += `x-request-id: ${(headers['x-request-id'] as string | undefined) ?? randomUUID()}\r\n`
  if (bucket !== null) head += `x-promptsync-bucket: ${bucket}\r\n`
  if (low) head += fieldLines(rateFields(low))
  write({ response, head, body: isSame ? '' : bodyOf(finished, sent) })
  series[isSame ? 304 : 200].observe((performance.now() - startedAtMs) / 1_000)
}

/** Null for any request that calls for a closer look. */
function askedOf(deps: Deps, { method, url = '', headers, socket }: IncomingMessage): Asked | null {
  const startedAtMs = performance.now()
  const target = method === 'GET' && isPlain(headers) ? targetOf(url) : null
  if (!target) return null
  const key = keyOf(deps, headers, deps.now().getTime())
  if (key === undefined) return null
  const held = projectOf(deps, key, target.query, headers['x-promptsync-project'])
  if (!held) return null
  const caller = key?.actor.keyId ?? (deps.config.trustProxy === false ? addressKey(socket.remoteAddress ?? '') : null)
  return caller === null ? null : { target, key, held, caller, startedAtMs }
}

/** Nothing in the headers calls for more than a plain answer as JSON. */
function isPlain(headers: IncomingMessage['headers']): boolean {
  const { accept, expect, 'content-length': length, 'transfer-encoding': encoding, 'x-request-id': requestId } = headers
  if (expect !== undefined || length !== undefined || encoding !== undefined) return false
  if (requestId !== undefined && !(typeof requestId === 'string' && /^[\w.:-]{1,128}$/.test(requestId))) return false
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch !== undefined && ifNoneMatch.length > 200) return false
  return accept === undefined || accept === '*/*' || accept === 'application/json'
}

type Target = { name: string; ref: string; query: PlainQuery }

const prefixes = ['/prompts/', '/api/prompts/']

function targetOf(url: string): Target | null {
  const prefix = prefixes.find((start) => url.startsWith(start))
  if (prefix === undefined) return null
  const queryAt = url.indexOf('?')
  const end = queryAt === -1 ? url.length : queryAt
  const slash = url.indexOf('/', prefix.length)
  if (slash === -1 || slash >= end || url.indexOf('/', slash + 1) !== -1) return null
  const query = parsePlainQuery(queryAt === -1 ? '' : url.slice(queryAt + 1))
  const name = decode(url.slice(prefix.length, slash))
  return query && name !== null ? { name, ref: url.slice(slash + 1, end), query } : null
}

/** The name of a prompt as it was before it was put into a URL. Refs need no encoding. */
function decode(part: string): string | null {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}

/** The key that was sent, if it was checked a moment ago and is good; null where none was sent. */
function keyOf(
  deps: Deps,
  { authorization, 'x-api-key': apiKey }: IncomingMessage['headers'],
  nowMs: number,
): CheckedKey | null | undefined {
  if (authorization === undefined && apiKey === undefined) return null
  const secret = authorization === undefined ? apiKey : authorization.startsWith('Bearer ') ? authorization.slice(7) : ''
  if (typeof secret !== 'string' || secret === '' || secret.length > 512 || secret.includes(' ')) return undefined
  const key = deps.keys.get(hashHex(secret))
  if (!key || key.revokedAt !== null) return undefined
  const isGood = deps.elapsed() - key.checkedAtMs < keyRecheckMs && (key.expiresAt === null || key.expiresAt.getTime() > nowMs)
  return isGood ? key : undefined
}

/** The project that is asked for, if the key may read it and it was confirmed a moment ago. */
function projectOf(
  deps: Deps,
  key: CheckedKey | null,
  { project: inQuery }: PlainQuery,
  inHeader: string | string[] | undefined,
): HeldProject | null {
  if (Array.isArray(inHeader) || (inQuery !== undefined && inHeader !== undefined && inQuery !== inHeader)) return null
  const slug = inQuery ?? inHeader
  const { actor } = key ?? { actor: anonymous }
  const { projects, slugs } = deps.cache
  const own = slug === undefined && actor.projectId !== null
  const held = projects.get(own ? String(actor.projectId) : (slugs.get(slug ?? 'default') ?? ''))
  if (!held || held.pointers.isDeleted || !isConfirmed(deps, held, deps.elapsed())) return null
  const { id, settings } = held.pointers.project
  if (settings.publicRead) return held
  const isOwn = actor.projectId === null || actor.projectId === id
  return isOwn && hasScope(actor, 'prompts:read') ? held : null
}

const useNotedMs = 1_000

function noteUse({ elapsed, keyUses, now }: Deps, { held, key }: Asked): void {
  held.usedAtMs = elapsed()
  const id = key?.actor.keyId
  if (!id) return
  const at = now()
  const last = keyUses.get(id)
  if (!last || at.getTime() - last.getTime() > useNotedMs) keyUses.set(id, at)
}

/** A body is kept as it is sent once it was sent so often. */
const timesUntilKept = 3

/** What is the same for everybody, as it is sent. */
function sentOf(finished: Finished, version: string, caching: string): NonNullable<Finished['sent']> {
  if (finished.sent) return finished.sent
  const fields = {
    'x-content-type-options': 'nosniff',
    vary: 'Accept, Authorization, X-API-Key, X-Promptsync-Project',
    etag: finished.etag,
    'cache-control': caching,
    'x-promptsync-version': version,
    'x-promptsync-source': 'registry',
  }
  const length = String(finished.json.length)
  const ofBody = { 'content-type': 'application/json; charset=utf-8', 'content-length': length }
  finished.sent = {
    whole: prepareHead(200, { ...fields, ...ofBody }),
    unmodified: prepareHead(304, fields),
    body: null,
    times: 0,
  }
  return finished.sent
}

/** The body as it is sent. It is kept so for what many ask for: most are asked for by few. */
function bodyOf({ json, grew }: Finished, sent: NonNullable<Finished['sent']>): Buffer | string {
  if (sent.body !== null) return sent.body
  const body = prepareBody(json)
  sent.times += 1
  if (sent.times === timesUntilKept) {
    sent.body = body
    if (typeof body === 'string') grew?.(body.length)
  }
  return body
}
