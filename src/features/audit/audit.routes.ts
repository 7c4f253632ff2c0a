import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { problems, type Routes } from '../../http.js'
import { AuditPage, AuditQuery } from './audit.schema.js'
import { listAudit, streamAudit } from './audit.service.js'

export const auditRoutes: Routes = async (app) => {
  app.get(
    '/audit',
    {
      config: { scope: 'admin', project: 'optional', withDeleted: true },
      schema: {
        operationId: 'listAudit',
        summary: 'Who did what, when, with which key; newest first',
        tags: ['operations'],
        querystring: AuditQuery,
        response: { 200: AuditPage, ...problems },
      },
    },
    async (request, reply) => {
      const about = { project: request.namedProject ?? request.project?.slug ?? null, actor: request.actor }
      if (request.query.format === 'json') return listAudit(app.deps, about, request.query)
      if (request.method === 'HEAD') return sendLines(reply, noLines())
      return sendLines(reply, streamAudit(app.deps, about, request.query))
    },
  )
}

async function* noLines(): AsyncGenerator<string> {}

/** Streams lines. The first are read before the status is sent; a failure after that cuts the stream off. */
async function sendLines(reply: FastifyReply, lines: AsyncGenerator<string>): Promise<FastifyReply> {
  const first = await lines.next()
  const all = async function* () {
    if (first.done) return
    yield first.value
    yield* lines
  }
  return reply.type('application/x-ndjson; charset=utf-8').send(Readable.from(all()))
}
