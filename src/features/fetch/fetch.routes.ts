import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.js'
import { problems, type Routes, readerOf } from '../../http.js'
import { acceptQuality } from '../../lib/accept.js'
import { type Finished, textOf } from '../../lib/plan.js'
import { FetchParams } from '../../lib/schemas.js'
import { FetchedPrompt, FetchHeaders, FetchQuery } from './fetch.schema.js'
import { fetchPrompt, isNotModified, type Outcome, outcomeHeaders } from './fetch.service.js'

export const fetchRoutes: Routes = async (app) => {
  app.get(
    '/prompts/:name/:ref',
    {
      config: { scope: 'prompts:read', readsPrompt: true, withoutDatabase: true },
      schema: {
        operationId: 'fetchPrompt',
        summary: 'Fetch a prompt by name and ref',
        description: 'With `Accept: text/plain` the content alone. The ETag is strong; `If-None-Match` gives 304.',
        tags: ['fetch'],
        params: FetchParams,
        querystring: FetchQuery,
        headers: FetchHeaders,
        response: { 200: FetchedPrompt, ...problems },
      },
    },
    async (request, reply) => {
      const { tag, key, canary, fallback } = request.query
      const outcome = await fetchPrompt(app.deps, readerOf(request), {
        ...request.params,
        tags: tag ?? {},
        key,
        canary: canary ?? 'on',
        fallback: fallback ?? 'none',
      })
      await app.deps.endOfTurn()
      return sendOutcome(reply, request, outcome)
    },
  )
}

function sendOutcome(reply: FastifyReply, { headers, params }: FastifyRequest, outcome: Outcome) {
  reply.header('vary', 'Accept, Authorization, X-API-Key, X-Promptsync-Project')
  const { bytes, etag, type } = represent(outcome.finished, (params as { name: string }).name, headers.accept)
  reply.headers({ ...outcomeHeaders(outcome), etag, 'cache-control': outcome.caching })
  if (isNotModified(headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.type(type).send(bytes)
}

function represent(finished: Finished, name: string, accept: string | undefined): { bytes: Buffer; etag: string; type: string } {
  const json = acceptQuality(accept, 'application/json')
  if (acceptQuality(accept, 'text/plain') > json) {
    const text = textOf(finished)
    if (text) return { ...text, type: 'text/plain; charset=utf-8' }
    if (json === 0) {
      throw new AppError(
        'representation.unavailable',
        `Prompt "${name}" is a chat prompt, which has no plain text. Accept application/json.`,
      )
    }
  }
  return { bytes: finished.json, etag: finished.etag, type: 'application/json; charset=utf-8' }
}
