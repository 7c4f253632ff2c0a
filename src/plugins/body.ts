import fp from 'fastify-plugin'
import { parseJsonBody } from '../lib/json-body.js'

/** JSON is the only body there is; it is decoded strictly and parsed without holding the event loop. */
export const bodyPlugin = fp(
  async (app) => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
      body.length === 0 ? undefined : parseJsonBody(body, app.deps.pause),
    )
  },
  { name: 'body' },
)
