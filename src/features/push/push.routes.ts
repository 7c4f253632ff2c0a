import { callerOf, emptyBody, problems, type Routes, validateWithZod } from '../../http.js'
import { PushAnswer, PushHeaders, PushQuery, PushRequest } from './push.schema.js'
import { push } from './push.service.js'

function requireBody(value: unknown) {
  return value === undefined || value === null ? { error: emptyBody() } : { value }
}

export const pushRoutes: Routes = async (app) => {
  app.post(
    '/prompts',
    {
      config: { scope: 'prompts:write' },
      // The service validates the lists item by item: all at once they would hold the event loop.
      validatorCompiler: (route) => (route.httpPart === 'body' ? requireBody : validateWithZod(route as never)),
      schema: {
        operationId: 'push',
        summary: 'Push prompts or files: one release, all or nothing',
        tags: ['push'],
        querystring: PushQuery,
        headers: PushHeaders,
        body: PushRequest,
        response: { 200: PushAnswer, 201: PushAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const { answer, created } = await push(app.deps, callerOf(request), request.body, request.headers['if-match'])
      return reply.code(created ? 201 : 200).send(answer)
    },
  )
}
