import { callerOf, problems, type Routes, validateAllButBody } from '../../http.js'
import { PushQuery, PushRequest } from '../push/push.schema.js'
import { Validation } from './validate.schema.js'
import { validatePush } from './validate.service.js'

export const validateRoutes: Routes = async (app) => {
  app.post(
    '/validate',
    {
      config: { scope: 'prompts:read' },
      validatorCompiler: validateAllButBody,
      schema: {
        operationId: 'validate',
        summary: 'Check prompts or files as a push would, and store nothing',
        description: 'Takes the body of a push. Answers 200 with every finding, whether or not a push would be refused.',
        tags: ['push'],
        querystring: PushQuery,
        body: PushRequest,
        response: { 200: Validation, ...problems },
      },
    },
    async (request) => validatePush(app.deps, callerOf(request).project, request.body),
  )
}
