import { callerOf, problems, type Routes } from '../../http.js'
import { PageQuery, ProjectQuery } from '../../lib/schemas.js'
import { testSource } from './preview.service.js'
import { getRun, listRuns } from './runs.service.js'
import { PutSource, Run, RunPage, RunParams, Source, SourcePage, SourceParams, SourceTest, SyncQuery } from './sources.schema.js'
import { deleteSource, getSource, listSources, putSource, syncNow } from './sources.service.js'

const tags = ['sources']

export const sourceRoutes: Routes = async (app) => {
  app.get(
    '/sources',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'listSources',
        summary: 'List the places that prompts come from, with their state',
        tags,
        querystring: PageQuery,
        response: { 200: SourcePage, ...problems },
      },
    },
    async (request) => listSources(app.deps, callerOf(request).project, request.query),
  )

  app.get(
    '/sources/:name',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'getSource',
        summary: 'One source: settings, state, and its last sync',
        tags,
        params: SourceParams,
        querystring: ProjectQuery,
        response: { 200: Source, ...problems },
      },
    },
    async (request) => getSource(app.deps, callerOf(request).project, request.params.name),
  )

  app.put(
    '/sources/:name',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'putSource',
        summary: 'Make a source or change its settings, after a look at what it names; the first sync follows',
        tags,
        params: SourceParams,
        querystring: ProjectQuery,
        body: PutSource,
        response: { 200: Source, 201: Source, ...problems },
      },
    },
    async (request, reply) => {
      const { source, created } = await putSource(app.deps, callerOf(request), request.params.name, request.body)
      return reply.code(created ? 201 : 200).send(source)
    },
  )

  app.delete(
    '/sources/:name',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'deleteSource',
        summary: 'Remove a source; what it brought stays in its releases',
        tags,
        params: SourceParams,
        querystring: ProjectQuery,
        response: { 200: Source, ...problems },
      },
    },
    async (request) => deleteSource(app.deps, callerOf(request), request.params.name),
  )

  app.post(
    '/sources/:name/test',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'testSource',
        summary: 'Tell what a sync would do, with the stored settings or with those of the body; stores nothing',
        tags,
        params: SourceParams,
        querystring: ProjectQuery,
        body: PutSource.nullish(),
        response: { 200: SourceTest, ...problems },
      },
    },
    async (request) => testSource(app.deps, callerOf(request), request.params.name, request.body ?? null),
  )

  app.post(
    '/sources/:name/sync',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'syncSource',
        summary: 'Sync now, and answer the run',
        tags,
        params: SourceParams,
        querystring: SyncQuery,
        response: { 200: Run, 202: Run, ...problems },
      },
    },
    async (request, reply) => {
      const { wait, force } = request.query
      const wanted = { wait: wait === 'true', force: force === 'true' }
      const run = await syncNow(app.deps, callerOf(request), request.params.name, wanted)
      return reply.code(run.finishedAt === null ? 202 : 200).send(run)
    },
  )

  app.get(
    '/sources/:name/runs',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'listRuns',
        summary: 'List the syncs of a source, newest first, with what was fetched',
        tags,
        params: SourceParams,
        querystring: PageQuery,
        response: { 200: RunPage, ...problems },
      },
    },
    async (request) => listRuns(app.deps, callerOf(request).project, request.params.name, request.query),
  )

  app.get(
    '/sources/:name/runs/:run',
    {
      config: { scope: 'sources:write' },
      schema: {
        operationId: 'getRun',
        summary: 'One sync',
        tags,
        params: RunParams,
        querystring: ProjectQuery,
        response: { 200: Run, ...problems },
      },
    },
    async (request) => getRun(app.deps, callerOf(request).project, request.params.name, request.params.run),
  )
}
