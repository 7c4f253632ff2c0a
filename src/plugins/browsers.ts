import cors from '@fastify/cors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

const allowedHeaders = [
  'Authorization',
  'X-API-Key',
  'X-Promptsync-Project',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'Last-Event-ID',
  'X-Request-Id',
]
const exposedHeaders = [
  'ETag',
  'Age',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'X-Request-Id',
  'X-Promptsync-Version',
  'X-Promptsync-Source',
  'X-Promptsync-Bucket',
]
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
/** How long a browser may go on without asking again. */
const preflightSeconds = 600

/** What browsers are told: never to guess a type, and whether pages of other origins may call. */
export const browsersPlugin = fp(
  async (app) => {
    app.addHook('onRequest', (_request, reply, done) => {
      forbidSniffing(reply)
      done()
    })
    const origins = app.deps.config.corsOrigins
    if (origins.length === 0) return
    await app.register(cors, {
      // Keys are sent in headers by the page itself: cookies have no part in it.
      credentials: false,
      delegator: (request, callback) => {
        const origin = isRefusedHere(request) ? false : originFor(origins, request.headers.origin)
        callback(null, { origin, methods, allowedHeaders, exposedHeaders, maxAge: preflightSeconds })
      },
    })
    // A route that sets Vary itself would drop what was set before it.
    app.addHook('onSend', async (_request, reply) => addVary(reply, 'Origin'))
  },
  { name: 'browsers' },
)

/** A browser is to take an answer for what its Content-Type says. */
export function forbidSniffing(reply: FastifyReply): FastifyReply {
  return reply.header('x-content-type-options', 'nosniff')
}

/** An OPTIONS that is no preflight gets its 405 like any method a path does not have. */
function isRefusedHere({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && (headers.origin === undefined || headers['access-control-request-method'] === undefined)
}

function originFor(origins: string[], origin: string | undefined): string | false {
  if (origins[0] === '*') return '*'
  return origin !== undefined && origins.includes(origin) ? origin : false
}

function addVary(reply: FastifyReply, field: string): void {
  const vary = [reply.getHeader('vary') ?? []].flat().join(', ')
  const fields = vary.split(',').map((name) => name.trim().toLowerCase())
  if (!fields.includes(field.toLowerCase())) reply.header('vary', vary === '' ? field : `${vary}, ${field}`)
}
