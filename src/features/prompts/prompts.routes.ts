import { callerOf, problems, type Routes } from '../../http.js'
import { PageQuery } from '../../lib/schemas.js'
import { Prompt, PromptListQuery, PromptOnly, PromptPage, PromptParams, UpdatePrompt, VersionPage } from './prompts.schema.js'
import { archivePrompt, getPrompt, listPrompts, listVersions, updatePrompt } from './prompts.service.js'

const tags = ['prompts']

export const promptRoutes: Routes = async (app) => {
  app.get(
    '/prompts',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'listPrompts',
        summary: 'List the prompts of a project with their latest version and aliases',
        tags,
        querystring: PromptListQuery,
        response: { 200: PromptPage, ...problems },
      },
    },
    async (request) => listPrompts(app.deps, callerOf(request).project, request.query),
  )

  app.get(
    '/prompts/:name',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'getPrompt',
        summary: 'Show a prompt',
        tags,
        params: PromptParams,
        querystring: PromptOnly,
        response: { 200: Prompt, ...problems },
      },
    },
    async (request) => getPrompt(app.deps, callerOf(request).project, request.params.name),
  )

  app.get(
    '/prompts/:name/versions',
    {
      config: { scope: 'prompts:read' },
      schema: {
        operationId: 'listVersions',
        summary: 'List the versions of a prompt, newest first',
        tags,
        params: PromptParams,
        querystring: PageQuery,
        response: { 200: VersionPage, ...problems },
      },
    },
    async (request) => listVersions(app.deps, callerOf(request).project, request.params.name, request.query),
  )

  app.patch(
    '/prompts/:name',
    {
      config: { scope: 'prompts:write' },
      schema: {
        operationId: 'updatePrompt',
        summary: 'Change title, description, labels or metadata; makes no version',
        tags,
        params: PromptParams,
        querystring: PromptOnly,
        body: UpdatePrompt,
        response: { 200: Prompt, ...problems },
      },
    },
    async (request) => updatePrompt(app.deps, callerOf(request), request.params.name, request.body),
  )

  app.delete(
    '/prompts/:name',
    {
      config: { scope: 'prompts:write' },
      schema: {
        operationId: 'archivePrompt',
        summary: 'Archive a prompt; every ref that exists keeps answering, a push revives it',
        tags,
        params: PromptParams,
        querystring: PromptOnly,
        response: { 200: Prompt, ...problems },
      },
    },
    async (request) => archivePrompt(app.deps, callerOf(request), request.params.name),
  )
}
