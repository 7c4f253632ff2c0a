import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Deps } from '../deps.js'
import { AppError, tryLater } from '../errors.js'
import { authenticate, flushKeyUses } from '../features/keys/keys.service.js'
import { isDeletedProject } from '../features/projects/projects.service.js'
import { findHeld, isUnavailable, type Wanted } from '../features/reads/access.service.js'
import { databaseAway, whileThere } from '../features/reads/database.service.js'
import { confirm } from '../features/reads/held-projects.service.js'
import { type Actor, anonymous, hasScope, type Project, type Scope } from '../lib/access.js'
import { slugPattern } from '../lib/names.js'
import type { Reader } from '../lib/read-cache.js'
import { FetchParams } from '../lib/schemas.js'
import { sentSecret } from '../lib/secrets.js'

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
    app.decorateRequest('held', null)
    app.decorateRequest('staleSeconds', null)
    app.decorateRequest('namedProject', null)

    app.addHook('onRoute', (route) => {
      if (openPrefixes.some((prefix) => route.url.startsWith(prefix))) route.config = { scope: 'public', ...route.config }
      if (route.config?.scope === undefined) throw new Error(`Route ${String(route.method)} ${route.url} does not say its scope.`)
    })

    app.addHook('onRequest', async (request) => {
      const { scope, project: about = 'required', withDeleted, withoutProject } = request.routeOptions.config
      request.actor = anonymous
      if (scope === undefined || scope === 'public') return
      const given = projectsNamed(request, about)
      const slug = given.length === 1 && slugPattern.test(given[0] ?? '') ? (given[0] ?? null) : null
      const wanted: Wanted = { slug, id: null, prompt: () => promptOf(request) }
      const secret = sentSecret(request.headers)
      const { revocations } = app.deps.cache
      const checkKey = () => (secret === null ? anonymous : authenticate(app.deps, secret, wanted))
      request.actor = await checkKey()
      request.namedProject = onlyOne(given)
      const isDeleted =
        withDeleted && slug !== null && isGlobal(request.actor) && (await whileThere(app.deps, isDeletedProject(app.deps, slug)))
      const fallback = about === 'optional' ? null : 'default'
      const named = isDeleted ? null : request.namedProject
      try {
        await admit(app.deps, request, { scope, fallback, named, wanted, revocations, checkKey })
      } catch (error) {
        const isKnown = hasScope(request.actor, scope) && !namesAnother(app.deps, request)
        if (!withoutProject || !isUnavailable(error) || !isKnown) throw error
        request.held = null
      }
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

/** Whether a project is named that is not the key's own, as far as that is known: whether there is such a project is not asked. */
function namesAnother({ cache }: Deps, { actor, namedProject }: FastifyRequest): boolean {
  const own = actor.projectId === null ? undefined : cache.projects.peek(`${actor.projectId}`)
  return own !== undefined && namedProject !== null && own.pointers.project.slug !== namedProject
}

/** What is named in the path, the query and the header, each name once. */
function projectsNamed(request: FastifyRequest, about: string): string[] {
  const { project: inQuery } = request.query as Record<string, unknown>
  const inHeader = request.headers['x-promptsync-project']
  const inPath = about === 'path' ? (request.params as { slug?: string }).slug : undefined
  return [...new Set([inPath, inQuery, inHeader].flat().filter((name) => name !== undefined))].map(String)
}

/** Throws `project.conflict` where several are named. */
function onlyOne(given: string[]): string | null {
  if (given.length <= 1) return given[0] ?? null
  throw new AppError(
    'project.conflict',
    `The request names several projects: ${given.map((name) => `"${name}"`).join(', ')}. Name one.`,
  )
}

/** The prompt that a request will ask for, so that all of a cold read is one statement. */
function promptOf({ routeOptions, params }: FastifyRequest): { name: string; ref: string } | null {
  if (!routeOptions.config.readsPrompt) return null
  const prompt = FetchParams.safeParse(params)
  return prompt.success ? prompt.data : null
}

/** `revocations` is how many there were before the key was checked. */
type Admission = {
  scope: Scope
  fallback: string | null
  named: string | null
  wanted: Wanted
  revocations: number
  checkKey: () => Actor | Promise<Actor>
}

/** Sets the project that a request may go on with; none where the call may concern them all and none is named. */
async function admit(deps: Deps, request: FastifyRequest, admission: Admission): Promise<void> {
  const { scope, fallback, named } = admission
  if (request.actor === anonymous && scope !== 'prompts:read') throw keyRequired(scope)
  const found = await lookUp(deps, request.actor, admission)
  // A project that was found to be made anew, or to be another one, has taken the keys of before with it.
  if (deps.cache.revocations !== admission.revocations) request.actor = await admission.checkKey()
  const { actor } = request
  if (found) request.staleSeconds = found.staleSeconds
  request.held = found?.held ?? null
  request.project = found && !found.held.pointers.isDeleted ? found.held.pointers.project : null
  // A project that is not held cannot be looked up now; one that is held and not theirs would be told from it.
  if (deps.database.isAway() && isHidden(actor, request.project, { scope, named })) throw databaseAway()
  checkAccess(actor, request.project, { scope, fallback, named })
}

/** Whether a project that was named is none that the caller may know of, if there is one at all. */
function isHidden(actor: Actor, project: Project | null, { scope, named }: Pick<Admission, 'scope' | 'named'>): boolean {
  if (named === null || !slugPattern.test(named) || isGlobal(actor)) return false
  const isPublicRead = scope === 'prompts:read' && project?.settings.publicRead === true
  return !isPublicRead && (actor === anonymous || project?.id !== actor.projectId)
}

function keyRequired(scope: Scope): AppError {
  return new AppError('auth.required', `This needs a key with the scope "${scope}". Send it as "Authorization: Bearer ps_…".`)
}

type Access = Pick<Admission, 'scope' | 'fallback' | 'named'>

function checkAccess(actor: Actor, project: Project | null, { scope, fallback, named }: Access): void {
  const isPublicRead = scope === 'prompts:read' && project?.settings.publicRead === true
  if (actor === anonymous) {
    if (isPublicRead) return
    throw keyRequired(scope)
  }
  const isForeign = project && actor.projectId !== null && actor.projectId !== project.id && !isPublicRead
  // A key whose project was deleted a moment ago must not pass for a global one.
  const isGone = project === null && actor.projectId !== null
  if (isForeign || isGone || (project === null && (named ?? fallback) !== null)) throw unknownProject(actor, fallback, named)
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
}

function unknownProject(actor: Actor, fallback: string | null, named: string | null): AppError {
  if (named !== null && !slugPattern.test(named)) {
    return new AppError('validation.failed', `"${named}" is no project slug: 1 to 63 lower-case letters, digits or dashes.`, {
      errors: [{ path: 'project', message: 'must be 1 to 63 lower-case letters, digits or dashes and not begin with a dash' }],
    })
  }
  const known = named ?? (actor.projectId === null ? fallback : null)
  const detail = known === null ? `The project of key "${actor.name}" is gone.` : `No project "${known}" is known to this key.`
  return new AppError('project.not_found', detail)
}

type Sought = Pick<Admission, 'fallback' | 'named' | 'wanted'>

/**
 * The project that is asked for, confirmed where that can be done soon. One that turns out to be gone then is looked up once
 * more: a database that was restored may have another project of its slug.
 */
async function lookUp(deps: Deps, actor: Actor, sought: Sought): Promise<Reader | null> {
  const wanted = wantedBy(actor, sought)
  if (!wanted) return null
  for (const _ of ['first', 'again']) {
    const held = await findHeld(deps, wanted)
    if (!held) return null
    const staleSeconds = await confirm(deps, held)
    const { project, isDeleted } = held.pointers
    if (!isDeleted && (wanted.slug === null || wanted.slug === project.slug)) return { held, staleSeconds }
  }
  return null
}

/** A foreign project is not told from an unknown one, wherever it is looked up. */
function wantedBy(actor: Actor, { fallback, named, wanted: { prompt } }: Sought): Wanted | null {
  if (named !== null) return slugPattern.test(named) ? { slug: named, id: null, prompt } : null
  if (actor.projectId !== null) return { slug: null, id: `${actor.projectId}`, prompt }
  return fallback === null ? null : { slug: fallback, id: null, prompt }
}
