import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { callerOf, problems, type Routes, readerOf } from '../../http.js'
import { PromptParams } from '../prompts/prompts.schema.js'
import { DiffHeaders, DiffQuery, PromptDiff, ReleaseDiff, ReleaseDiffQuery } from './diff.schema.js'
import { type DiffAnswer, diffPrompt, isNotModified } from './diff.service.js'
import { diffReleases } from './release-diff.service.js'

/** A page may style itself, and nothing else: it runs, loads, sends and frames nothing. */
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const formatsOf = (json: z.ZodType) => ({
  description: 'The differences, in the format that was asked for',
  content: {
    'application/json': { schema: json },
    'text/plain': { schema: z.string() },
    'text/html': { schema: z.string() },
  },
})

export const diffRoutes: Routes = async (app) => {
  app.get(
    '/prompts/:name/diff',
    {
      config: { scope: 'prompts:read', withoutDatabase: true },
      schema: {
        operationId: 'diffPrompt',
        summary: 'Compare a prompt at two refs',
        description: 'The ETag is strong; `If-None-Match` gives 304. The same refs always give the same answer while they stay.',
        tags: ['prompts'],
        params: PromptParams,
        querystring: DiffQuery,
        headers: DiffHeaders,
        response: { 200: formatsOf(PromptDiff), ...problems },
      },
    },
    async (request, reply) => {
      const answer = await diffPrompt(app.deps, readerOf(request), { ...request.params, ...request.query })
      return sendDiff(reply, request, answer)
    },
  )

  app.get(
    '/releases/diff',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'diffReleases',
        summary: 'Tell what changed from one release to another',
        description:
          'Names up to 10,000 prompts of each kind, and compares the first 200 that changed. The ETag is strong; `If-None-Match` gives 304.',
        tags: ['releases'],
        querystring: ReleaseDiffQuery,
        headers: DiffHeaders,
        response: { 200: formatsOf(ReleaseDiff), ...problems },
      },
    },
    async (request, reply) => sendDiff(reply, request, await diffReleases(app.deps, callerOf(request).project, request.query)),
  )
}

/** Bytes are sent as they are: the schema of the answer is for the documents. */
function sendDiff(reply: FastifyReply, { headers }: FastifyRequest, { bytes, etag, type, caching, staleSeconds }: DiffAnswer) {
  reply.headers({
    vary: 'Authorization, X-API-Key, X-Promptsync-Project',
    etag,
    'cache-control': caching,
    ...(staleSeconds === null ? {} : { 'x-promptsync-source': 'stale', age: String(staleSeconds) }),
    ...(type.startsWith('text/html') ? { 'content-security-policy': pagePolicy } : {}),
  })
  if (isNotModified(headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.type(type).send(bytes)
}
