import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { tryLater } from '../../errors.js'
import { problems, type Routes, readerOf } from '../../http.js'
import { addressKey } from '../../lib/limits.js'
import { sentSecret } from '../../lib/secrets.js'
import { EventsHeaders, EventsQuery } from './events.schema.js'
import { endStreams, openStream, refuseTooMany, type Streams, tendStreams } from './events.service.js'

const tendIntervalMs = 1_000

const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // nginx would collect events until it has a bufferful.
  'x-accel-buffering': 'no',
  // Kept alive after the end of a stream, it would hold the close of the service up.
  connection: 'close',
}

const stream = {
  description: 'Server-sent events, until either side ends the stream; see docs/events.md for their names and fields',
  content: { 'text/event-stream': { schema: z.string() } },
}

export const eventRoutes: Routes = async (app) => {
  const streams: Streams = new Set()
  let isTending = false
  const timer = setInterval(() => {
    if (isTending) return
    isTending = true
    void tendStreams(app.deps, streams).finally(() => {
      isTending = false
    })
  }, tendIntervalMs)
  timer.unref()
  app.addHook('preClose', async () => endStreams(app.deps, streams))
  app.addHook('onClose', async () => clearInterval(timer))

  app.get(
    '/events',
    {
      config: { scope: 'prompts:read', withoutDatabase: true },
      schema: {
        operationId: 'streamEvents',
        summary: 'Stream what happens in a project, without contents',
        tags: ['events'],
        querystring: EventsQuery,
        headers: EventsHeaders,
        response: { 200: stream, ...problems },
      },
    },
    async (request, reply) => {
      if (request.method === 'HEAD') return reply.headers(streamHeaders).send('')
      const caller = request.actor.keyId ?? addressKey(request.ip)
      if (app.isClosing()) throw tryLater('server.busy', 'This instance is closing. Try again.', 1)
      const secret = sentSecret(request.headers)
      refuseTooMany(streams, { secret, caller })
      const lastEventId = request.headers['last-event-id'] ?? request.query.lastEventId ?? null
      const about = { held: readerOf(request).held, secret, caller, lastEventId }
      const headers = { ...(reply.getHeaders() as OutgoingHttpHeaders), ...streamHeaders }
      openStream(app.deps, streams, about, takeOver(reply), headers)
      return reply
    },
  )
}

/** Goes past the framework from here on. What is measured of the request is how long it took to begin. */
function takeOver(reply: FastifyReply): FastifyReply['raw'] {
  Object.defineProperty(reply, 'elapsedTime', { value: reply.elapsedTime })
  reply.hijack()
  return reply.raw
}
