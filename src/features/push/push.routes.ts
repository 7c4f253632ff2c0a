import { callerOf, problems, type Routes, validateAllButBody } from '../../http.js'
import { PushAnswer, PushHeaders, PushQuery, PushRequest } from './push.schema.js'
import { push } from './push.service.js'

export const pushRoutes: Routes = async (app) => {
  app.post(
    '/prompts',
    {
      config: { scope: 'prompts:write' },
      validatorCompiler: validateAllButBody,
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
