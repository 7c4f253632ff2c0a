import { AppError } from '../../errors.js'
import { callerOf, problems, type Routes } from '../../http.js'
import { listMoves } from './alias-history.service.js'
import { getAlias, listAliases } from './alias-rows.service.js'
import {
  Alias,
  AliasChange,
  AliasMovePage,
  AliasPage,
  AliasPageQuery,
  AliasParams,
  AliasQuery,
  IfMatch,
  MoveAlias,
  MovedAlias,
  NewAliasParams,
} from './aliases.schema.js'
import { deleteAlias, moveAlias, rollbackAlias } from './aliases.service.js'

const tags = ['aliases']

export const aliasRoutes: Routes = async (app) => {
  app.get(
    '/aliases',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'listAliases',
        summary: 'List the aliases of a project, pins included',
        tags,
        querystring: AliasPageQuery,
        response: { 200: AliasPage, ...problems },
      },
    },
    async (request) => listAliases(app.deps, callerOf(request).project, request.query),
  )

  app.get(
    '/aliases/:alias',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'getAlias',
        summary: 'Show an alias; its ETag is its revision',
        tags,
        params: AliasParams,
        querystring: AliasQuery,
        response: { 200: Alias, ...problems },
      },
    },
    async (request, reply) => {
      const alias = await getAlias(app.deps, callerOf(request).project, request.params.alias, request.query.prompt)
      return reply.header('etag', `"${alias.revision}"`).send(alias)
    },
  )

  app.get(
    '/aliases/:alias/history',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'listAliasMoves',
        summary: 'Every change of an alias, newest first',
        tags,
        params: AliasParams,
        querystring: AliasPageQuery,
        response: { 200: AliasMovePage, ...problems },
      },
    },
    async (request) => listMoves(app.deps, callerOf(request).project, request.params.alias, request.query),
  )

  app.put(
    '/aliases/:alias',
    {
      config: { scope: 'aliases:write' },
      schema: {
        operationId: 'moveAlias',
        summary: 'Point an alias to a release, or a pin to a version',
        tags,
        params: NewAliasParams,
        querystring: AliasQuery,
        headers: IfMatch,
        body: MoveAlias,
        response: { 200: MovedAlias, 201: MovedAlias, ...problems },
      },
    },
    async (request, reply) => {
      const { version, dryRun, reason } = request.body
      const prompt = request.body.prompt ?? request.query.prompt
      if (request.query.prompt !== undefined && prompt !== request.query.prompt) {
        throw new AppError('validation.failed', 'The body and the query name different prompts. Name one.', {
          errors: [{ path: 'prompt', message: `is "${prompt}" in the body and "${request.query.prompt}" in the query` }],
        })
      }
      const move = { name: request.params.alias, prompt, version, reason, dryRun, ifMatch: request.headers['if-match'] }
      const { alias, created } = await moveAlias(app.deps, callerOf(request), move)
      if (alias.revision !== null) reply.header('etag', `"${alias.revision}"`)
      return reply.code(created ? 201 : 200).send(alias)
    },
  )

  app.post(
    '/aliases/:alias/rollback',
    {
      config: { scope: 'aliases:write' },
      schema: {
        operationId: 'rollbackAlias',
        summary: 'End a running canary; else go back to the target before',
        tags,
        params: AliasParams,
        querystring: AliasQuery,
        headers: IfMatch,
        body: AliasChange,
        response: { 200: MovedAlias, ...problems },
      },
    },
    async (request, reply) => {
      const alias = await rollbackAlias(app.deps, callerOf(request), {
        name: request.params.alias,
        prompt: request.query.prompt,
        reason: request.body?.reason,
        ifMatch: request.headers['if-match'],
      })
      return reply.header('etag', `"${alias.revision}"`).send(alias)
    },
  )

  app.delete(
    '/aliases/:alias',
    {
      config: { scope: 'aliases:write' },
      schema: {
        operationId: 'deleteAlias',
        summary: 'Remove an alias; its history and revision stay',
        tags,
        params: AliasParams,
        querystring: AliasQuery,
        headers: IfMatch,
        response: { 200: Alias, ...problems },
      },
    },
    async (request) =>
      deleteAlias(app.deps, callerOf(request), {
        name: request.params.alias,
        prompt: request.query.prompt,
        ifMatch: request.headers['if-match'],
      }),
  )
}
