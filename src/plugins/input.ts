import fp from 'fastify-plugin'
import { AppError } from '../errors.js'
import { parseJsonBody } from '../lib/json-body.js'

/** Queries and bodies are decoded strictly: what is no UTF-8 is refused instead of being taken for something else. */
export const inputPlugin = fp(
  async (app) => {
    app.addHook('onRequest', async (request) => {
      const query = request.raw.url?.split('?', 2)[1]
      if (query && !isDecodable(query)) {
        throw new AppError('request.malformed', 'The query holds a malformed percent-encoding. Encode values as UTF-8.')
      }
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
      body.length === 0 ? undefined : parseJsonBody(body, app.deps.pause),
    )
  },
  { name: 'input' },
)

function isDecodable(query: string): boolean {
  try {
    decodeURIComponent(query)
    return true
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
}
