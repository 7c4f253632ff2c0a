import { callerOf, problems, type Routes } from '../../http.js'
import { FetchParams } from '../fetch/fetch.schema.js'
import { RenderedPrompt, RenderQuery, RenderRequest } from './render.schema.js'
import { renderFetched } from './render.service.js'

/** Several times what a rendering may put out. */
const maxBodyBytes = 4 * 1024 ** 2

export const renderRoutes: Routes = async (app) => {
  app.post(
    '/prompts/:name/:ref/render',
    {
      bodyLimit: Math.min(maxBodyBytes, app.deps.config.bodyLimitBytes),
      config: { scope: 'prompts:read' },
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
      const { body, outcome } = await renderFetched(app.deps, callerOf(request).project, {
        ...request.params,
        ...request.body,
        ...{ canary, fallback },
      })
      reply.headers({
        'cache-control': 'no-store',
        'x-promptsync-version': body.version,
        'x-promptsync-source': body.source,
        ...(outcome.bucket === null ? {} : { 'x-promptsync-bucket': String(outcome.bucket) }),
      })
      return body
    },
  )
}
