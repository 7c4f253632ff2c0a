import { callerOf, problems, type Routes } from '../../http.js'
import { ProjectQuery } from '../../lib/schemas.js'
import { Alias, AliasChange, AliasParams, AliasQuery, IfMatch, MovedAlias } from '../aliases/aliases.schema.js'
import { Canary, CanaryPage, CanaryQuery, SetCanary } from './canaries.schema.js'
import { endCanary, listCanaries, promoteCanary, setCanary } from './canaries.service.js'

const tags = ['canaries']

export const canaryRoutes: Routes = async (app) => {
  app.post(
    '/canary',
    {
      config: { scope: 'aliases:write' },
      schema: {
        operationId: 'setCanary',
        summary: 'Give a share of subjects another target, or change a running canary',
        tags,
        querystring: ProjectQuery,
        headers: IfMatch,
        body: SetCanary,
        response: { 200: Canary, 201: Canary, ...problems },
      },
    },
    async (request, reply) => {
      const { canary, created } = await setCanary(app.deps, callerOf(request), request.body, request.headers['if-match'])
      return reply
        .code(created ? 201 : 200)
        .header('etag', `"${canary.revision}"`)
        .send(canary)
    },
  )

  app.get(
    '/canary',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'listCanaries',
        summary: 'List the canaries that are running',
        tags,
        querystring: CanaryQuery,
        response: { 200: CanaryPage, ...problems },
      },
    },
    async (request) => listCanaries(app.deps, callerOf(request).project, request.query),
  )

  app.delete(
    '/canary/:alias',
    {
      config: { scope: 'aliases:write' },
      schema: {
        operationId: 'endCanary',
        summary: 'End a canary: everyone gets the stable target',
        tags,
        params: AliasParams,
        querystring: AliasQuery,
        headers: IfMatch,
        response: { 200: Alias, ...problems },
      },
    },
    async (request) =>
      endCanary(app.deps, callerOf(request), {
        name: request.params.alias,
        prompt: request.query.prompt,
        ifMatch: request.headers['if-match'],
      }),
  )

  app.post(
    '/canary/:alias/promote',
    {
      config: { scope: 'aliases:write' },
      schema: {
        operationId: 'promoteCanary',
        summary: "Make the canary's target the alias' target",
        tags,
        params: AliasParams,
        querystring: AliasQuery,
        headers: IfMatch,
        body: AliasChange,
        response: { 200: MovedAlias, ...problems },
      },
    },
    async (request) =>
      promoteCanary(app.deps, callerOf(request), {
        name: request.params.alias,
        prompt: request.query.prompt,
        reason: request.body?.reason,
        ifMatch: request.headers['if-match'],
      }),
  )
}
