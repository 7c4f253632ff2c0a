import { problems, type Routes } from '../../http.js'
import { AuditPage, AuditQuery } from './audit.schema.js'
import { listAudit } from './audit.service.js'

export const auditRoutes: Routes = async (app) => {
  app.get(
    '/audit',
    {
      config: { scope: 'admin', project: 'optional' },
      schema: {
        operationId: 'listAudit',
        summary: 'Who did what, when, with which key; newest first',
        tags: ['operations'],
        querystring: AuditQuery,
        response: { 200: AuditPage, ...problems },
      },
    },
    async (request) => listAudit(app.deps, request.project?.slug ?? null, request.query),
  )
}
