import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { AppError } from '../../errors.js'
import { callerOf, problems, type Routes } from '../../http.js'
import { acceptQuality } from '../../lib/accept.js'
import { FetchedPrompt, FetchHeaders, FetchParams, FetchQuery } from './fetch.schema.js'
import { fetchPrompt, type Outcome } from './fetch.service.js'

const cacheControl: Record<Outcome['caching'], string> = {
  immutable: 'private, max-age=86400, immutable',
  movable: 'private, max-age=0, stale-if-error=86400',
  none: 'no-store',
}

export const fetchRoutes: Routes = async (app) => {
  app.get(
    '/prompts/:name/:ref',
    {
      config: { scope: 'prompts:read' },
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
      const outcome = await fetchPrompt(app.deps, callerOf(request).project, {
        ...request.params,
        tags: tag ?? {},
        key,
        canary: canary ?? 'on',
        fallback: fallback ?? 'none',
      })
      return sendOutcome(reply, outcome, request.headers.accept, request.headers['if-none-match'])
    },
  )
}

function sendOutcome(
  reply: FastifyReply,
  { body, bucket, caching }: Outcome,
  accept: string | undefined,
  ifNoneMatch: string | undefined,
) {
  reply.header('vary', 'Accept, Authorization, X-API-Key, X-Promptsync-Project')
  const { bytes, type } = represent(body, accept)
  const etag = `"${createHash('sha256').update(type).update(bytes).digest('base64url').slice(0, 27)}"`
  reply.headers({
    etag,
    'cache-control': cacheControl[caching],
    'x-promptsync-version': body.version,
    'x-promptsync-source': body.source,
  })
  if (bucket !== null) reply.header('x-promptsync-bucket', String(bucket))
  if (matches(ifNoneMatch, etag)) return reply.code(304).send()
  return reply.type(type).send(bytes)
}

function represent(body: FetchedPrompt, accept: string | undefined): { bytes: Buffer; type: string } {
  const json = acceptQuality(accept, 'application/json')
  if (acceptQuality(accept, 'text/plain') > json) {
    if (body.content !== null) return { bytes: Buffer.from(body.content), type: 'text/plain; charset=utf-8' }
    if (json === 0) {
      throw new AppError(
        'representation.unavailable',
        `Prompt "${body.name}" is a chat prompt, which has no plain text. Accept application/json.`,
      )
    }
  }
  return { bytes: Buffer.from(JSON.stringify(body)), type: 'application/json; charset=utf-8' }
}

/** `If-None-Match` compares weakly: a `W/` before the same tag is the same (RFC 9110, 13.1.2). */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch.split(',').some((candidate) => ['*', etag, `W/${etag}`].includes(candidate.trim()))
}
