import { callerOf, problems, type Routes } from '../../http.js'
import { ReleasePage, ReleaseParams, ReleaseQuery, ReleaseSnapshot } from './releases.schema.js'
import { getRelease, listReleases } from './releases.service.js'

const tags = ['releases']

export const releaseRoutes: Routes = async (app) => {
  app.get(
    '/releases',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'listReleases',
        summary: 'List the releases of a project, newest first',
        tags,
        querystring: ReleaseQuery,
        response: { 200: ReleasePage, ...problems },
      },
    },
    async (request) => listReleases(app.deps, callerOf(request).project, request.query),
  )

  app.get(
    '/releases/:ref',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'getRelease',
        summary: 'Show a release and what it holds',
        tags,
        params: ReleaseParams,
        querystring: ReleaseQuery,
        response: { 200: ReleaseSnapshot, ...problems },
      },
    },
    async (request) => getRelease(app.deps, callerOf(request).project, request.params.ref, request.query),
  )
}
