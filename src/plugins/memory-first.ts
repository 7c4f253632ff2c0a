import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'
import type { Deps } from '../deps.js'
import { AppError } from '../errors.js'
import { cacheControl, draw, fetchCaching, isNotModified } from '../features/fetch/fetch.service.js'
import { isUnavailable } from '../features/reads/access.service.js'
import { type Asked, noteUse, plainFetch, plainRender, plainResolve } from '../features/reads/plain-requests.service.js'
import { finishedFor, knownPlan, planFor } from '../features/reads/plans.service.js'
import { renderFinished } from '../features/render/render.service.js'
import { knownAnswer } from '../features/resolve/kept-answers.service.js'
import type { Begun } from '../http.js'
import type { DurationSeries } from '../lib/durations.js'
import { parseJsonBody } from '../lib/json-body.js'
import { type Limits, lowReads, rateFields, takeRead } from '../lib/limits.js'
import { isPromptName } from '../lib/names.js'
import { readPlainRendering } from '../lib/plain-rendering.js'
import { chooseBodyBy, type Finished, type Mode, type Plan, pointedAt, servedSide } from '../lib/plan.js'
import { createWriter, fieldLines, type PreparedAnswer, prepareBody, type Write } from '../lib/prepared-answer.js'
import type { KeptAnswer } from '../lib/routing-table.js'
import type { Tags } from '../lib/variants.js'

const fetchRoute = '/prompts/:name/:ref'
const renderRoute = '/prompts/:name/:ref/render'
const resolveRoute = '/resolve'

/**
 * Answers fetches and renderings before the framework sees them, so that they cost as little as can be: fetches whose
 * answer is in memory, even while everything else is shed, those by alias that have to be loaded, and renderings of what is in
 * memory. It gives the same answers as the routes: whatever is not plain, allowed and confirmed, and whatever fails, is left
 * to them. Requests that are injected always go there.
 */
export const memoryFirstPlugin = fp(
  async (app) => {
    // Whose page asks decides on the answer then.
    if (app.deps.config.corsOrigins.length > 0) return
    const others = app.server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
    const service: Service = {
      deps: app.deps,
      limits: app.limits,
      durations: {
        fetched: app.durationsOf('GET', fetchRoute, '200'),
        unmodified: app.durationsOf('GET', fetchRoute, '304'),
        rendered: app.durationsOf('POST', renderRoute, '200'),
        resolved: app.durationsOf('GET', resolveRoute, '200'),
        unmodifiedResolved: app.durationsOf('GET', resolveRoute, '304'),
      },
      write: createWriter(app.server, app.isClosing, app.deps),
      leave(request, response, begun) {
        if (begun) app.begun.set(request, begun)
        for (const other of others) other.call(app.server, request, response)
      },
    }
    app.server.removeAllListeners('request')
    app.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      if (app.isClosing() || !answer(service, request, response)) service.leave(request, response, null)
    })
    app.addHook('onRoute', (route) => {
      if (route.url === fetchRoute) {
        // It was waited for once, which is as long as anybody is to wait.
        route.preHandler = [route.preHandler ?? []].flat().concat((request, _reply, done) => {
          done(app.begun.get(request.raw)?.refusal)
        })
      }
      if (route.url !== renderRoute) return
      route.preParsing = [route.preParsing ?? []].flat().concat((request, _reply, payload, done) => {
        const body = app.begun.get(request.raw)?.body
        done(null, body ? Object.assign(Readable.from([body]), { receivedEncodedLength: body.length }) : payload)
      })
    })
  },
  { name: 'memory-first', dependencies: ['closing', 'metrics', 'limits'] },
)

type Service = {
  deps: Deps
  limits: Limits
  durations: Record<'fetched' | 'unmodified' | 'rendered' | 'resolved' | 'unmodifiedResolved', DurationSeries>
  write: Write
  leave(request: IncomingMessage, response: ServerResponse, begun: Begun | null): void
}

/** An outcome of a plan, finished before or not, with what only this request has of it. */
type Chosen = {
  mode: Mode
  bucket: number | null
  body: number
  finished: Finished | undefined
  version: string
  caching: string
}

/** Answers, now or later, or does nothing and returns false. */
function answer(service: Service, request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method === 'GET') return answerResolve(service, request, response) || answerFetch(service, request, response)
  return request.method === 'POST' && answerRender(service, request, response)
}

function answerFetch(service: Service, request: IncomingMessage, response: ServerResponse): boolean {
  const { deps, limits } = service
  const asked = plainFetch(deps, request)
  if (!asked) return false
  const plan = knownPlan(deps, asked.held, asked.target.name, asked.target.ref)
  const chosen = plan && choose(plan, asked.target.query)
  if (!chosen?.finished && !mayLoad(limits, asked, plan)) return false
  if (takeRead(limits, asked.caller) > 0) return false
  noteUse(deps, asked)
  if (chosen?.finished) {
    deps.cache.counts.hits.memory += 1
    sendFetched(service, request, response, asked, chosen, chosen.finished)
  } else
    loadAndSend(service, request, response, asked).catch((error: unknown) => {
      const refused = error instanceof AppError && isUnavailable(error) ? { refusal: error } : {}
      service.leave(request, response, { body: null, isCounted: true, ...refused })
    })
  return true
}

/** What a context is routed to, where the same was asked for a moment ago. */
function answerResolve(service: Service, request: IncomingMessage, response: ServerResponse): boolean {
  const { deps, limits, durations, write } = service
  const plain = plainResolve(deps, request)
  if (!plain) return false
  const { held, caller, asked } = plain
  const { query, context, ref } = asked
  const known = knownAnswer(deps, held, { context, ref, key: query.key, canary: query.canary, tags: query.tags })
  if (!known || takeRead(limits, caller) > 0) return false
  noteUse(deps, plain)
  const { finished, level } = known.answer
  deps.cache.counts.resolved[level] += 1
  const sent = resolvedAs(known.answer)
  const fields = sent.fields + ownLines(limits, request, caller, known.bucket)
  const isSame = isNotModified(request.headers['if-none-match'], finished.etag)
  if (isSame) write({ response, head: unmodified + fields, body: '' })
  else write({ response, head: `${whole}${finished.json.length}\r\n${fields}`, body: bodyOf(finished, sent) })
  durations[isSame ? 'unmodifiedResolved' : 'resolved'].observe((deps.elapsed() - plain.atMs) / 1_000)
  return true
}

function resolvedAs({ finished, version, level }: KeptAnswer): NonNullable<Finished['sent']> {
  finished.sent ??= { fields: commonLines(finished.etag, version, cacheControl.movable, level), body: null, times: 0 }
  return finished.sent
}

/** Of what is not in memory only aliases and pins are loaded here: other refs may be paths of other routes. */
function mayLoad(limits: Limits, { held, target: { name, ref } }: Asked, plan: Plan | null): boolean {
  return !limits.isShedding && (plan !== null || (isPromptName(name) && pointedAt(held.pointers, name, ref) !== null))
}

/** What fails here fails in the route as well, which tells why. */
async function loadAndSend(service: Service, request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<void> {
  const plan = await planFor(service.deps, asked.held, asked.target.name, asked.target.ref)
  const chosen = choose(plan, asked.target.query)
  const finished = chosen.finished ?? (await finishedFor(service.deps, plan, chosen.mode, chosen.body))
  sendFetched(service, request, response, asked, chosen, finished)
}

/** What an answer is chosen by. */
type Selection = { key: string | undefined; canary: 'on' | 'off'; tags: Tags; tagText: string }

function choose(plan: Plan, selection: Selection): Chosen {
  const { mode, bucket } = draw(plan, selection)
  const side = servedSide(plan, mode)
  const body = chooseBodyBy(side, selection.tagText, selection.tags)
  const finished = side.erased ? undefined : plan.outcomes[mode][body]
  return { mode, bucket, body, finished, version: side.version ?? '', caching: fetchCaching(plan.by) }
}

const whole = 'HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: '
const unmodified = 'HTTP/1.1 304 Not Modified\r\n'

function sendFetched(
  { deps, limits, durations, write }: Service,
  request: IncomingMessage,
  response: ServerResponse,
  { caller, atMs }: Asked,
  { version, bucket, caching }: Chosen,
  finished: Finished,
): void {
  const isSame = isNotModified(request.headers['if-none-match'], finished.etag)
  const sent = sentOf(finished, version, caching)
  const fields = sent.fields + ownLines(limits, request, caller, bucket)
  if (isSame) write({ response, head: unmodified + fields, body: '' })
  else write({ response, head: `${whole}${finished.json.length}\r\n${fields}`, body: bodyOf(finished, sent) })
  durations[isSame ? 'unmodified' : 'fetched'].observe((deps.elapsed() - atMs) / 1_000)
}

/** The fields that differ from one answer to the next. */
function ownLines(limits: Limits, { headers }: IncomingMessage, caller: string, bucket: number | null): string {
  // One that was sent is of a form that can be sent back.
  let lines = `x-request-id: ${(headers['x-request-id'] as string | undefined) ?? randomUUID()}\r\n`
  if (bucket !== null) lines += `x-promptsync-bucket: ${bucket}\r\n`
  const low = lowReads(limits, caller)
  return low ? lines + fieldLines(rateFields(low)) : lines
}

/** A body is kept as it is sent once it was sent so often. */
const timesUntilKept = 3

/** What is the same for everybody, as it is sent. */
function sentOf(finished: Finished, version: string, caching: string): NonNullable<Finished['sent']> {
  finished.sent ??= { fields: commonLines(finished.etag, version, caching, 'registry'), body: null, times: 0 }
  return finished.sent
}

function commonLines(etag: string, version: string, caching: string, source: 'registry' | 'stale'): string {
  return fieldLines({
    'x-content-type-options': 'nosniff',
    vary: 'Accept, Authorization, X-API-Key, X-Promptsync-Project',
    etag,
    'cache-control': caching,
    'x-promptsync-version': version,
    'x-promptsync-source': source,
  })
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

/** Where the body took longer, the key and the project are looked at again. */
const bodyWaitMs = 100

/** A rendering is work, which is not begun while too much is to be done already. */
function answerRender(service: Service, request: IncomingMessage, response: ServerResponse): boolean {
  const early = service.limits.isShedding ? null : plainRender(service.deps, request)
  if (!early) return false
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.on('end', () => {
    const body = pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces)
    const leave = (isCounted: boolean) => service.leave(request, response, { body, isCounted })
    render(service, request, early, body).then(
      (rendered) => (rendered ? service.write({ response, ...rendered }) : leave(false)),
      () => leave(true),
    )
  })
  return true
}

/** Null where the request is not plain after all. Rejects where the rendering fails, which the route then explains. */
async function render(
  { deps, limits, durations }: Service,
  request: IncomingMessage,
  early: Asked,
  bytes: Buffer,
): Promise<Omit<PreparedAnswer, 'response'> | null> {
  const wanted = readPlainRendering(await parseJsonBody(bytes, deps.pause).catch(() => null))
  const asked = deps.elapsed() - early.atMs < bodyWaitMs ? early : plainRender(deps, request)
  if (!wanted || !asked) return null
  const { name, ref, query } = asked.target
  const plan = knownPlan(deps, asked.held, name, ref)
  const chosen = plan && choose(plan, { ...wanted, canary: query.canary })
  if (!chosen?.finished || takeRead(limits, asked.caller) > 0) return null
  noteUse(deps, asked)
  const json = renderFinished(deps, chosen.finished, wanted)
  deps.cache.counts.hits.memory += 1
  const length = Buffer.byteLength(json)
  const own = ownLines(limits, request, asked.caller, chosen.bucket)
  const head = `${whole}${length}\r\n${renderFields(chosen)}${own}`
  durations.rendered.observe((deps.elapsed() - asked.atMs) / 1_000)
  return { head, body: length === json.length ? json : prepareBody(Buffer.from(json)) }
}

function renderFields({ version }: Chosen): string {
  return fieldLines({
    'x-content-type-options': 'nosniff',
    'x-promptsync-version': version,
    'x-promptsync-source': 'registry',
    'cache-control': 'no-store',
  })
}
