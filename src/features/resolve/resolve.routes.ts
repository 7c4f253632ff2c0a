import type { FastifyReply, FastifyRequest } from 'fastify'
import { problems, type Routes, readerIfHeld, readerOf } from '../../http.js'
import { acceptQuality } from '../../lib/accept.js'
import { textOf } from '../../lib/plan.js'
import { FetchHeaders } from '../fetch/fetch.schema.js'
import { ResolvedPrompt, ResolvedRendering, ResolvePreview, ResolveQuery, ResolveRequest, wantedOf } from './resolve.schema.js'
import {
  isAnswerKnown,
  isNotModified,
  previewResolution,
  type Resolved,
  renderResolved,
  resolvedHeaders,
  resolvePrompt,
} from './resolve.service.js'

const tags = ['resolve']
const json = 'application/json; charset=utf-8'
const maxBodyBytes = 4 * 1024 ** 2

export const resolveRoutes: Routes = async (app) => {
  app.get(
    '/resolve',
    {
      config: { scope: 'prompts:read', withoutDatabase: true, withoutProject: true },
      schema: {
        operationId: 'resolvePrompt',
        summary: 'Get the prompt that a context is routed to; there always is one',
        description: 'The answer is that of a fetch, with how it was found. With `Accept: text/plain` it is the content alone.',
        tags,
        querystring: ResolveQuery,
        headers: FetchHeaders,
        response: { 200: ResolvedPrompt, ...problems },
      },
    },
    async (request, reply) => {
      const wanted = wantedOf(request.query)
      const reader = readerIfHeld(request)
      // An instance that is overloaded looks for nothing that it has not answered lately.
      const isTooMuch = app.limits.isShedding && !isAnswerKnown(app.deps, reader, wanted)
      const resolved = await resolvePrompt(app.deps, isTooMuch ? null : reader, wanted)
      await app.deps.endOfTurn()
      return sendResolved(reply, request, resolved)
    },
  )

  app.post(
    '/resolve',
    {
      bodyLimit: Math.min(maxBodyBytes, app.deps.config.bodyLimitBytes),
      config: { scope: 'prompts:read', withoutDatabase: true, withoutProject: true },
      schema: {
        operationId: 'renderResolved',
        summary: 'Get the prompt that a context is routed to, rendered with variables',
        tags,
        querystring: ResolveQuery,
        body: ResolveRequest,
        response: { 200: ResolvedRendering, ...problems },
      },
    },
    async (request, reply) => {
      const wanted = wantedOf(request.query, request.body)
      const { text, headers } = await renderResolved(app.deps, readerIfHeld(request), wanted, request.body)
      await app.deps.endOfTurn()
      return reply
        .headers({ ...headers, 'cache-control': 'no-store' })
        .type(json)
        .send(text as never)
    },
  )

  app.get(
    '/resolve/preview',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'previewResolution',
        summary: 'Explain, step by step, what a context is routed to',
        tags,
        querystring: ResolveQuery,
        response: { 200: ResolvePreview, ...problems },
      },
    },
    async (request) => previewResolution(app.deps, readerOf(request), wantedOf(request.query)),
  )
}

function sendResolved(reply: FastifyReply, { headers }: FastifyRequest, resolved: Resolved) {
  const { bytes, etag, type } = represent(resolved, headers.accept)
  reply.header('vary', 'Accept, Authorization, X-API-Key, X-Promptsync-Project')
  reply.headers({ ...resolvedHeaders(resolved), etag, 'cache-control': resolved.outcome.caching })
  if (isNotModified(headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.type(type).send(bytes)
}

/** A chat, which has no plain text, is JSON whatever is asked for: there always is an answer. */
function represent({ outcome, finished }: Resolved, accept: string | undefined): { bytes: Buffer; etag: string; type: string } {
  const isTextWanted = acceptQuality(accept, 'text/plain') > acceptQuality(accept, 'application/json')
  const text = isTextWanted ? textOf(outcome.finished) : null
  return text ? { ...text, type: 'text/plain; charset=utf-8' } : { bytes: finished.json, etag: finished.etag, type: json }
}
