import { AppError } from '../../errors.js'
import { problems, type Routes } from '../../http.js'
import { PageQuery, ProjectQuery } from '../../lib/schemas.js'
import { CreateKey, Key, KeyPage, KeyParams, NewKey } from './keys.schema.js'
import { createKey, listKeys, revokeKey } from './keys.service.js'

const tags = ['keys']

export const keyRoutes: Routes = async (app) => {
  app.post(
    '/keys',
    {
      config: { scope: 'admin', project: 'optional' },
      schema: {
        operationId: 'createKey',
        summary: 'Make a key; its secret is shown once',
        tags,
        querystring: ProjectQuery,
        body: CreateKey,
        response: { 201: NewKey, ...problems },
      },
    },
    async (request, reply) => {
      const named = request.namedProject ?? undefined
      const project = request.body.project ?? named
      if (named !== undefined && project !== named) {
        throw new AppError('project.conflict', `The body names project "${project}", the request "${named}". Name one.`)
      }
      return reply
        .code(201)
        .send(await createKey(app.deps, { actor: request.actor, requestId: request.id }, { ...request.body, project }))
    },
  )

  app.get(
    '/keys',
    {
      config: { scope: 'admin', project: 'optional' },
      schema: {
        operationId: 'listKeys',
        summary: 'List keys, revoked ones included; never their secrets',
        tags,
        querystring: PageQuery,
        response: { 200: KeyPage, ...problems },
      },
    },
    async (request) => listKeys(app.deps, request.actor, request.project, request.query),
  )

  app.delete(
    '/keys/:id',
    {
      config: { scope: 'admin', project: 'optional' },
      schema: {
        operationId: 'revokeKey',
        summary: 'Revoke a key',
        tags,
        params: KeyParams,
        querystring: ProjectQuery,
        response: { 200: Key, ...problems },
      },
    },
    async (request) => revokeKey(app.deps, { actor: request.actor, requestId: request.id }, request.params.id),
  )
}
