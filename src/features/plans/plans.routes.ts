import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { tryLater } from '../../errors.js'
import { problems, type Routes, readerOf } from '../../http.js'
import { type ByteRoom, createByteRoom } from '../../lib/byte-room.js'
import { FetchParams, ProjectQuery } from '../../lib/schemas.js'
import { FetchHeaders } from '../fetch/fetch.schema.js'
import { fetchMany } from './fetch-many.service.js'
import { FetchedMany, FetchMany, PromptPlan } from './plans.schema.js'
import { isNotModified, type PlanOutcome, planPrompt } from './plans.service.js'

/** Several times what the names may take. */
const maxBodyBytes = 1024 ** 2

/** Large answers on slow lines must not fill the memory. */
const maxBytesUnderWay = 256 * 1024 ** 2

export const planRoutes: Routes = async (app) => {
  const room = createByteRoom(maxBytesUnderWay)

  app.get(
    '/prompts/:name/:ref/plan',
    {
      config: { scope: 'prompts:read', readsPrompt: true, withoutDatabase: true },
      schema: {
        operationId: 'planPrompt',
        summary: 'Get all that a client needs to decide by itself what a fetch would answer',
        description: 'It is the same for every subject. The ETag is strong; `If-None-Match` gives 304.',
        tags: ['fetch'],
        params: FetchParams,
        querystring: ProjectQuery,
        headers: FetchHeaders,
        response: { 200: PromptPlan, ...problems },
      },
    },
    async (request, reply) => {
      const outcome = await planPrompt(app.deps, readerOf(request), request.params)
      await app.deps.endOfTurn()
      return sendBytes(reply, request, outcome)
    },
  )

  app.post(
    '/prompts/fetch',
    {
      bodyLimit: Math.min(maxBodyBytes, app.deps.config.bodyLimitBytes),
      config: { scope: 'prompts:read', withoutDatabase: true },
      schema: {
        operationId: 'fetchPrompts',
        summary: 'Fetch many prompts by one ref, all in one state of the project',
        description: 'It only reads. The ETag is strong, and `If-None-Match` gives 304 here as well.',
        tags: ['fetch'],
        querystring: ProjectQuery,
        headers: FetchHeaders,
        body: FetchMany,
        response: { 200: FetchedMany, ...problems },
      },
    },
    async (request, reply) => {
      const reserve = (bytes: number) => reserveUntilSent(room, reply.raw, bytes)
      const outcome = await fetchMany(app.deps, readerOf(request), request.body, reserve)
      await app.deps.endOfTurn()
      if (outcome.bucket !== null) reply.header('x-promptsync-bucket', String(outcome.bucket))
      return sendBytes(reply, request, outcome)
    },
  )
}

function reserveUntilSent(room: ByteRoom, response: ServerResponse, bytes: number): void {
  const giveBack = room.take(bytes)
  if (!giveBack) throw tryLater('read.busy', 'Too many large answers are under way. Try again.', 1)
  if (response.destroyed) giveBack()
  else response.once('close', giveBack)
}

/** Bytes are sent as they are: the schema of the answer is for the documents. */
function sendBytes(reply: FastifyReply, { headers }: FastifyRequest, { finished, caching, source, staleSeconds }: PlanOutcome) {
  reply.headers({
    vary: 'Accept, Authorization, X-API-Key, X-Promptsync-Project',
    etag: finished.etag,
    'cache-control': caching,
    'x-promptsync-source': staleSeconds === null ? source : 'stale',
    ...(staleSeconds === null ? {} : { age: String(staleSeconds) }),
  })
  if (isNotModified(headers['if-none-match'], finished.etag)) return reply.code(304).send()
  return reply.type('application/json; charset=utf-8').send(finished.json)
}
