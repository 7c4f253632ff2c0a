import { callerOf, problems, type Routes } from '../../http.js'
import { AllowedVersion, PurgedVersion, PurgeOnly, PurgeParams, PurgeVersion } from './purge.schema.js'
import { allowPurged, purgeVersion } from './purge.service.js'

const tags = ['prompts']

export const purgeRoutes: Routes = async (app) => {
  app.post(
    '/prompts/:name/:ref/purge',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'purgeVersion',
        summary: 'Erase a version (number or label) for good; its text is refused from then on',
        tags,
        params: PurgeParams,
        querystring: PurgeOnly,
        body: PurgeVersion,
        response: { 200: PurgedVersion, ...problems },
      },
    },
    async (request) => purgeVersion(app.deps, callerOf(request), { ...request.params, ...request.body }),
  )

  app.delete(
    '/prompts/:name/:ref/purge',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'allowPurged',
        summary: 'Let the text of a purged version be pushed again; the version stays purged',
        tags,
        params: PurgeParams,
        querystring: PurgeOnly,
        response: { 200: AllowedVersion, ...problems },
      },
    },
    async (request) => allowPurged(app.deps, callerOf(request), request.params.name, request.params.ref),
  )
}
