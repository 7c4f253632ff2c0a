import fp from 'fastify-plugin'
import { AppError } from '../errors.js'
import { parseJsonBody } from '../lib/json-body.js'
import type { Pause } from '../lib/slices.js'
import { invalid } from '../lib/validation.js'

/** Queries and bodies are decoded strictly: what is no UTF-8 is refused instead of being taken for something else. */
export const inputPlugin = fp(
  async (app) => {
    app.addHook('onRequest', (request, _reply, done) => {
      const { url = '' } = request.raw
      const isMalformed = url.includes('?') && !isDecodable(url.slice(url.indexOf('?')))
      const refusal = 'The query holds a malformed percent-encoding. Encode values as UTF-8.'
      done(isMalformed ? new AppError('request.malformed', refusal) : undefined)
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
      body.length === 0 ? undefined : parseObject(body, app.deps.pause),
    )
  },
  { name: 'input' },
)

/** Every body is an object; saying so here names what was sent instead, `null` among it. */
async function parseObject(bytes: Buffer, pause: Pause): Promise<unknown> {
  const body = await parseJsonBody(bytes, pause)
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body
  const kind = body === null ? 'null' : Array.isArray(body) ? 'an array' : `a ${typeof body}`
  throw invalid('validation.failed', [{ path: '', message: `The body must be a JSON object, not ${kind}.` }])
}

function isDecodable(query: string): boolean {
  try {
    decodeURIComponent(query)
    return true
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
}
