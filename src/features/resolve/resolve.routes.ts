import type { FastifyReply, FastifyRequest } from 'fastify'
import { problems, type Routes, readerIfHeld, readerOf } from '../../http.js'
import { FetchHeaders } from '../fetch/fetch.schema.js'
import {
  contextOf,
  ResolveBodyQuery,
  ResolvedPrompt,
  ResolvedRendering,
  ResolvePreview,
  ResolveQuery,
  ResolveRequest,
} from './resolve.schema.js'
import {
  isNotModified,
  outcomeHeaders,
  previewResolution,
  type Resolved,
  renderResolved,
  resolvePrompt,
  withTrace,
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
        description: 'The answer is that of a fetch, with how it was found.',
        tags,
        querystring: ResolveQuery,
        headers: FetchHeaders,
        response: { 200: ResolvedPrompt, ...problems },
      },
    },
    async (request, reply) => {
      const { tag, key, canary, ref } = request.query
      const context = contextOf(request.query)
      const wanted = { context, ref, tags: tag ?? {}, key, canary: canary ?? ('on' as const) }
      const resolved = await resolvePrompt(app.deps, readerIfHeld(request), wanted)
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
        querystring: ResolveBodyQuery,
        body: ResolveRequest,
        response: { 200: ResolvedRendering, ...problems },
      },
    },
    async (request, reply) => {
      const { context, ref, canary, ...rendering } = request.body
      const wanted = { context, ref, canary: canary ?? ('on' as const), tags: rendering.tags, key: rendering.key }
      const { text, headers } = await renderResolved(app.deps, readerIfHeld(request), wanted, rendering)
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
    async (request) => {
      const { tag, key, canary, ref } = request.query
      const context = contextOf(request.query)
      return previewResolution(app.deps, readerOf(request), { context, ref, tags: tag ?? {}, key, canary: canary ?? 'on' })
    },
  )
}

function sendResolved(reply: FastifyReply, { headers }: FastifyRequest, resolved: Resolved) {
  const { outcome } = resolved
  const { json: bytes, etag } = withTrace(resolved)
  reply.headers({ ...outcomeHeaders(outcome), etag, 'cache-control': outcome.caching })
  reply.header('vary', 'Authorization, X-API-Key, X-Promptsync-Project')
  if (isNotModified(headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.type(json).send(bytes)
}
