import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Deps } from '../deps.js'
import { AppError, tryLater } from '../errors.js'
import { authenticate, flushKeyUses } from '../features/keys/keys.service.js'
import { findKnownProject as findProject, isDeletedProject } from '../features/projects/projects.service.js'
import { type Actor, anonymous, hasScope, type Project, type Scope } from '../lib/access.js'
import { slugPattern } from '../lib/names.js'

const keyUsesFlushMs = 30_000
const openPrefixes = ['/docs']

/**
 * Lets a request through in this order: a key that is sent must be good, a foreign or unknown project is not found,
 * then the scope. A route that does not say its scope stops the start.
 */
export const authPlugin = fp(
  async (app) => {
    app.decorateRequest('actor')
    app.decorateRequest('project', null)
    app.decorateRequest('namedProject', null)

    app.addHook('onRoute', (route) => {
      if (openPrefixes.some((prefix) => route.url.startsWith(prefix))) route.config = { scope: 'public', ...route.config }
      if (route.config?.scope === undefined) throw new Error(`Route ${String(route.method)} ${route.url} does not say its scope.`)
    })

    app.addHook('onRequest', async (request) => {
      const { scope, project: about = 'required', withDeleted } = request.routeOptions.config
      request.actor = anonymous
      if (scope === undefined || scope === 'public') return
      const secret = secretOf(request)
      if (secret !== null) request.actor = await authenticate(app.deps, secret)
      request.namedProject = nameProject(request, about)
      const named = request.namedProject
      const mayBeDeleted = withDeleted && named !== null && isGlobal(request.actor) && slugPattern.test(named)
      const isDeleted = mayBeDeleted && (await isDeletedProject(app.deps, named))
      const fallback = about === 'optional' ? null : 'default'
      request.project = await admit(app.deps, request.actor, scope, fallback, isDeleted ? null : named)
    })

    const flush = () =>
      flushKeyUses(app.deps).catch((err: unknown) => app.log.warn({ err }, 'Last uses of keys could not be written.'))
    const timer = setInterval(flush, keyUsesFlushMs)
    timer.unref()
    app.addHook('onClose', async () => {
      clearInterval(timer)
      await flush()
    })
  },
  { name: 'auth' },
)

function isGlobal(actor: Actor): boolean {
  return actor !== anonymous && actor.projectId === null
}

function secretOf({ headers }: FastifyRequest): string | null {
  const { authorization, 'x-api-key': apiKey } = headers
  if (authorization !== undefined) {
    const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
    if (bearer) return bearer
    throw new AppError('auth.invalid', 'The Authorization header is not of the form "Bearer ps_…".')
  }
  return typeof apiKey === 'string' && apiKey !== '' ? apiKey : null
}

/** The slug in the path, the query or the header, as it was given. Throws `project.conflict` when they differ. */
function nameProject(request: FastifyRequest, about: string): string | null {
  const { project: inQuery } = request.query as Record<string, unknown>
  const inHeader = request.headers['x-promptsync-project']
  const inPath = about === 'path' ? (request.params as { slug?: string }).slug : undefined
  const given = [...new Set([inPath, inQuery, inHeader].flat().filter((name) => name !== undefined))]
  if (given.length <= 1) return given[0] === undefined ? null : String(given[0])
  throw new AppError(
    'project.conflict',
    `The request names several projects: ${given.map((name) => `"${name}"`).join(', ')}. Name one.`,
  )
}

/** The project the caller may go on with; null where the call may concern them all and none is named. */
async function admit(
  deps: Deps,
  actor: Actor,
  scope: Scope,
  fallback: string | null,
  named: string | null,
): Promise<Project | null> {
  const project = await lookUp(deps, actor, fallback, named)
  const isPublicRead = scope === 'prompts:read' && project?.settings.publicRead === true
  if (actor === anonymous) {
    if (isPublicRead) return project
    throw new AppError('auth.required', `This needs a key with the scope "${scope}". Send it as "Authorization: Bearer ps_…".`)
  }
  const isForeign = project && actor.projectId !== null && actor.projectId !== project.id && !isPublicRead
  // A key whose project was deleted a moment ago must not pass for a global one.
  const isGone = project === null && actor.projectId !== null
  if (isForeign || isGone || (project === null && (named ?? fallback) !== null)) {
    if (named !== null && !slugPattern.test(named)) {
      throw new AppError('validation.failed', `"${named}" is no project slug: 1 to 63 lower-case letters, digits or dashes.`, {
        errors: [{ path: 'project', message: 'must be 1 to 63 lower-case letters, digits or dashes and not begin with a dash' }],
      })
    }
    const known = named ?? (isGone ? null : fallback)
    throw new AppError(
      'project.not_found',
      known === null ? `The project of key "${actor.name}" is gone.` : `No project "${known}" is known to this key.`,
    )
  }
  if (!actor.isConfirmed && scope !== 'prompts:read') {
    const detail = 'The database does not answer, so this key cannot be checked. Nothing was changed; try again.'
    throw tryLater('database.unavailable', detail, 1)
  }
  if (!isPublicRead && !hasScope(actor, scope)) {
    throw new AppError(
      'scope.missing',
      `This needs the scope "${scope}", which key "${actor.name}" lacks. It has ${actor.scopes.join(', ')}.`,
    )
  }
  return project
}

async function lookUp(deps: Deps, actor: Actor, fallback: string | null, named: string | null): Promise<Project | null> {
  if (named !== null) return slugPattern.test(named) ? findProject(deps, { slug: named }) : null
  if (actor.projectId !== null) return findProject(deps, { id: actor.projectId })
  return fallback === null ? null : findProject(deps, { slug: fallback })
}
