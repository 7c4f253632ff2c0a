import { problems, type Routes, readerOf } from '../../http.js'
import { FetchParams } from '../../lib/schemas.js'
import { RenderedPrompt, RenderQuery, RenderRequest } from './render.schema.js'
import { renderFetched } from './render.service.js'

/** Several times what a rendering may put out. */
const maxBodyBytes = 4 * 1024 ** 2

export const renderRoutes: Routes = async (app) => {
  app.post(
    '/prompts/:name/:ref/render',
    {
      bodyLimit: Math.min(maxBodyBytes, app.deps.config.bodyLimitBytes),
      config: { scope: 'prompts:read', readsPrompt: true, withoutDatabase: true },
      schema: {
        operationId: 'renderPrompt',
        summary: 'Fetch a prompt and render it with variables',
        description: 'The answer is that of a fetch, with `text`, or rendered `messages`, in place of `content`.',
        tags: ['fetch'],
        params: FetchParams,
        querystring: RenderQuery,
        body: RenderRequest,
        response: { 200: RenderedPrompt, ...problems },
      },
    },
    async (request, reply) => {
      const { canary = 'on', fallback = 'none' } = request.query
      const { json, headers } = await renderFetched(app.deps, readerOf(request), {
        ...request.params,
        ...request.body,
        ...{ canary, fallback },
      })
      await app.deps.endOfTurn()
      // A text is sent as it is: the schema of the answer is for the documents.
      return reply
        .headers({ ...headers, 'cache-control': 'no-store' })
        .type('application/json; charset=utf-8')
        .send(json as never)
    },
  )
}
