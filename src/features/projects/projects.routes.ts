import { callerOf, problems, type Routes } from '../../http.js'
import { PageQuery } from '../../lib/schemas.js'
import { deleteProject } from './deletion.service.js'
import {
  CreateProject,
  DeletedProject,
  ProjectAnswer,
  ProjectOnly,
  ProjectPage,
  ProjectParams,
  UpdateProject,
} from './projects.schema.js'
import { createProject, listProjects, toProjectAnswer, updateProject } from './projects.service.js'

const tags = ['projects']

export const projectRoutes: Routes = async (app) => {
  app.get(
    '/projects',
    {
      config: { scope: 'admin', project: 'optional' },
      schema: {
        operationId: 'listProjects',
        summary: 'List the projects the key may see',
        tags,
        querystring: PageQuery,
        response: { 200: ProjectPage, ...problems },
      },
    },
    async (request) => listProjects(app.deps, request.actor, request.query),
  )

  app.post(
    '/projects',
    {
      config: { scope: 'admin', project: 'optional' },
      schema: {
        operationId: 'createProject',
        summary: 'Make a project (global admin keys only)',
        tags,
        querystring: ProjectOnly,
        body: CreateProject,
        response: { 201: ProjectAnswer, ...problems },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await createProject(app.deps, { actor: request.actor, requestId: request.id }, request.body)),
  )

  app.get(
    '/projects/:slug',
    {
      config: { scope: 'admin', project: 'path' },
      schema: {
        operationId: 'getProject',
        summary: 'Show a project',
        tags,
        params: ProjectParams,
        querystring: ProjectOnly,
        response: { 200: ProjectAnswer, ...problems },
      },
    },
    async (request) => toProjectAnswer(callerOf(request).project),
  )

  app.patch(
    '/projects/:slug',
    {
      config: { scope: 'admin', project: 'path' },
      schema: {
        operationId: 'updateProject',
        summary: 'Change the name or settings of a project',
        tags,
        params: ProjectParams,
        querystring: ProjectOnly,
        body: UpdateProject,
        response: { 200: ProjectAnswer, ...problems },
      },
    },
    async (request) => updateProject(app.deps, callerOf(request), request.body),
  )

  app.delete(
    '/projects/:slug',
    {
      config: { scope: 'admin', project: 'path' },
      schema: {
        operationId: 'deleteProject',
        summary: 'Erase a project (global admin keys only); its numbers and audit stay, its keys are revoked',
        tags,
        params: ProjectParams,
        querystring: ProjectOnly,
        response: { 200: DeletedProject, ...problems },
      },
    },
    async (request) => deleteProject(app.deps, callerOf(request)),
  )
}
