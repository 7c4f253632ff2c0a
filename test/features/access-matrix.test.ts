import type { InjectOptions } from 'fastify'
import t from 'tap'
import { tellsOfTheInside } from '../helpers/inside.js'
import { isPostgres, startService } from '../helpers/service.js'

/** What the design asks of a key, by operation. A route that is not here fails the test: say what it is to ask for. */
const scopeOf: Record<string, string> = {
  ...named('public', ['getLivez', 'getReadyz', 'getHealth', 'getMetrics', 'takeGithubHook', 'takeSignedHook']),
  ...named('prompts:read', ['listPrompts', 'getPrompt', 'listVersions', 'fetchPrompt', 'listReleases', 'getRelease']),
  ...named('prompts:read', ['renderPrompt', 'validate', 'streamEvents']),
  ...named('prompts:read', ['planPrompt', 'fetchPrompts']),
  ...named('prompts:read', ['resolvePrompt', 'renderResolved']),
  ...named('prompts:read', ['diffPrompt', 'diffReleases']),
  ...named('prompts:read', ['listAliases', 'getAlias', 'listAliasMoves', 'listCanaries']),
  ...named('prompts:write', ['push', 'updatePrompt', 'archivePrompt']),
  ...named('aliases:write', ['moveAlias', 'rollbackAlias', 'deleteAlias', 'setCanary', 'endCanary', 'promoteCanary']),
  ...named('sources:write', ['listSources', 'getSource', 'putSource', 'deleteSource', 'testSource', 'syncSource']),
  ...named('sources:write', ['listRuns', 'getRun', 'previewResolution']),
  ...named('admin', ['listProjects', 'createProject', 'getProject', 'updateProject', 'deleteProject']),
  ...named('admin', ['createKey', 'listKeys', 'revokeKey', 'listAudit', 'purgeVersion', 'allowPurged']),
}

function named(scope: string, operations: string[]): Record<string, string> {
  return Object.fromEntries(operations.map((operation) => [operation, scope]))
}

const scopes = ['prompts:read', 'prompts:write', 'aliases:write', 'sources:write', 'metrics:write', 'admin']
const projects = {
  own: 'matrix-own',
  foreign: 'matrix-foreign',
  unknown: 'matrix-unknown',
  public: 'matrix-public',
  none: undefined,
}
type Place = keyof typeof projects
const places = Object.keys(projects) as Place[]
/** Where a request goes that names no project. */
const fallback = { slug: 'default', publicRead: !isPostgres }

type Key = {
  kind: string
  secret: string | null
  /** Why the key is no good, if it is not. */
  refusal?: string
  scopes: string[]
  /** The slug of its project; null for a global key. */
  project: string | null
}
type Route = { operation: string; method: string; path: string; hasBody: boolean; scope: string }

const service = await startService(t)
const keys = await makeKeys()
const routes = readRoutes()

/** The projects, a prompt in each, and one key of every kind. */
async function makeKeys(): Promise<Key[]> {
  for (const slug of [projects.own, projects.foreign, projects.public]) {
    await service.call('/projects', { body: { slug, settings: { publicRead: slug === projects.public } } })
    await service.push({ alias: 'dev', prompts: [{ name: 'x', content: slug }] }, { project: slug })
  }
  const make = async (kind: string, project: string | null, held: string[], more: object = {}) => {
    const { id, secret } = await service.createKey({ name: kind, project, scopes: held, ...more })
    return { id, key: { kind, secret, scopes: held, project } }
  }
  const expired = await make('expired', projects.own, scopes, {
    expiresAt: new Date(service.clock.now().getTime() + 60_000).toISOString(),
  })
  service.clock.advance(60_001)
  const revoked = await make('revoked', projects.own, scopes)
  await service.call(`/keys/${revoked.id}`, { method: 'DELETE' })
  const good = await Promise.all([
    ...scopes.map((scope) => make(`${scope} of the own project`, projects.own, [scope])),
    make('every scope of another project', projects.foreign, scopes),
    make('a global admin', null, ['admin']),
    make('a global reader', null, ['prompts:read']),
  ])
  return [
    { kind: 'no key', secret: null, refusal: 'auth.required', scopes: [], project: null },
    { kind: 'a bad key', secret: `ps_${'x'.repeat(43)}`, refusal: 'auth.invalid', scopes, project: projects.own },
    { ...expired.key, refusal: 'auth.expired' },
    { ...revoked.key, refusal: 'auth.revoked' },
    ...good.map(({ key }) => key),
  ]
}

function readRoutes(): Route[] {
  type Operation = { operationId: string; requestBody?: object }
  const paths = service.app.swagger().paths as Record<string, Record<string, Operation>>
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, requestBody }]) => ({
      operation: operationId,
      method: method.toUpperCase(),
      path,
      hasBody: requestBody !== undefined,
      scope: scopeOf[operationId] ?? 'unsaid',
    })),
  )
}

/** What these make of a query that no route knows: to them it is a context. */
const restOf: Record<string, string> = {
  resolvePrompt: '200 undefined',
  renderResolved: '422 variables.missing',
  previewResolution: '200 undefined',
}

/**
 * What the design promises, written from its text: a key that is sent must be good, then a foreign or unknown project is
 * not found, though a public one may be read by all, then the scope, then the rest. Here the rest is a query that no route knows.
 */
function expected({ operation, scope, path }: Route, key: Key, place: Place): string {
  if (key.secret !== null && key.refusal) return `401 ${key.refusal}`
  const concernsAll = ['/projects', '/keys', '/audit'].some((prefix) => path.startsWith(prefix))
  const slug = projects[place] ?? key.project ?? (concernsAll ? null : fallback.slug)
  const isPublic = slug === projects.public || (slug === fallback.slug && fallback.publicRead)
  const rest = restOf[operation] ?? '422 validation.failed'
  if (scope === 'prompts:read' && isPublic) return rest
  if (key.secret === null) return '401 auth.required'
  const isUnknown = slug === projects.unknown
  const isForeign = key.project !== null && slug !== key.project
  if (isUnknown || isForeign) return '404 project.not_found'
  return key.scopes.includes(scope) || key.scopes.includes('admin') ? rest : '403 scope.missing'
}

/** A request that is right in all but one thing, so that where it is let through it changes nothing. */
function requestOf({ method, path, hasBody }: Route, key: Key, place: Place): InjectOptions {
  const slug = projects[place]
  const values: Record<string, string> = {
    ...{ name: 'x', ref: 'latest', version: 'v1', alias: 'dev', run: '1' },
    id: unknownId,
    slug: slug ?? '',
  }
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? `no-value-for-${name}`)
  const isInPath = path.includes('{slug}')
  return {
    method: method as 'GET',
    url: `${url}?unexpected=1`,
    headers: {
      ...(key.secret === null ? {} : { authorization: `Bearer ${key.secret}` }),
      ...(isInPath || slug === undefined ? {} : { 'x-promptsync-project': slug }),
    },
    ...(hasBody ? { payload: {} } : {}),
  }
}

const unknownId = '00000000-0000-4000-8000-000000000000'

async function ask(route: Route, key: Key, place: Place) {
  const { statusCode, body, headers } = await service.app.inject(requestOf(route, key, place))
  const { code } = JSON.parse(body)
  // A mark in place of the name and of what differs in every answer, to compare what two projects are told.
  const { date, 'x-request-id': requestId, 'content-length': length, ...kept } = headers
  const blind = body.replaceAll(projects[place] ?? '\0', 'PROJECT').replaceAll(String(requestId), 'ID')
  return {
    outcome: `${statusCode} ${code}`,
    told: JSON.stringify([kept, blind]),
    isLeaking: tellsOfTheInside(`${body}${JSON.stringify(headers)}`),
  }
}

t.test('the routes are those whose scope the design says, and the OpenAPI says the same', async (t) => {
  t.strictSame(
    routes.filter(({ scope }) => scope === 'unsaid').map(({ operation }) => operation),
    [],
  )
  const paths = service.app.swagger().paths as Record<string, Record<string, { security: Record<string, string[]>[] }>>
  for (const { operation, method, path, scope } of routes) {
    const security = paths[path]?.[method.toLowerCase()]?.security
    const keyed = [{ bearer: [scope] }, { apiKey: [scope] }]
    t.strictSame(security, scope === 'public' ? [] : scope === 'prompts:read' ? [{}, ...keyed] : keyed, operation)
  }
})

t.test('every route lets through whom the design says, for every kind of key and of project', async (t) => {
  const before = await service.countRows()
  let calls = 0
  const keyed = routes.filter(({ scope }) => scope !== 'public')
  for (const route of keyed) {
    const named = route.path.includes('{slug}') ? places.filter((place) => place !== 'none') : places
    for (const key of keys) {
      const answers = await Promise.all(named.map(async (place) => [place, await ask(route, key, place)] as const))
      const said = Object.fromEntries(answers)
      const title = `${route.operation} with ${key.kind}`
      t.strictSame(
        answers.map(([place, { outcome }]) => `${place}: ${outcome}`),
        named.map((place) => `${place}: ${expected(route, key, place)}`),
        title,
      )
      const isStranger = key.secret === null || (key.project !== null && key.project !== projects.foreign)
      if (isStranger) t.equal(said.foreign?.told, said.unknown?.told, `${title}: nothing tells that a project exists`)
      const leaking = answers.filter(([, { isLeaking }]) => isLeaking)
      if (leaking.length > 0) t.fail(`${title} tells of the inside: ${JSON.stringify(leaking)}`)
      calls += answers.length
    }
  }
  t.comment(
    `${keyed.length} routes x ${keys.length} kinds of keys x ${places.length} projects, one that a path must name aside = ${calls} calls`,
  )
  t.strictSame(await service.countRows(), before, 'none of them has added or removed a row')
})

t.test('public routes answer 200 whatever key is sent', async (t) => {
  // Webhooks are signed instead: no key makes a difference to them either.
  const open = routes.filter(({ scope, method }) => scope === 'public' && method === 'GET').map(({ path }) => path)
  t.ok(open.length >= 4)
  for (const url of [...open, '/openapi.json', '/docs', '/docs/static/swagger-ui.css']) {
    const statuses = keys.map(async ({ kind, secret }) => {
      const headers = {
        ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
        'x-promptsync-project': projects.unknown,
      }
      return `${kind}: ${(await service.app.inject({ url, headers })).statusCode}`
    })
    t.strictSame(
      await Promise.all(statuses),
      keys.map(({ kind }) => `${kind}: 200`),
      url,
    )
  }
})

t.test('HEAD asks for what GET asks', async (t) => {
  for (const route of routes.filter(({ method, scope }) => method === 'GET' && scope !== 'public')) {
    const outcomes = keys.map(async (key) => {
      const { statusCode, body } = await service.app.inject({ ...requestOf(route, key, 'foreign'), method: 'HEAD' })
      return `${key.kind}: ${statusCode}${body}`
    })
    t.strictSame(
      await Promise.all(outcomes),
      keys.map((key) => `${key.kind}: ${expected(route, key, 'foreign').slice(0, 3)}`),
      route.operation,
    )
  }
})

t.test('what only a global admin may do is refused to an admin of one project, with good input', async (t) => {
  const bound = keys.find(({ kind }) => kind === 'admin of the own project')?.secret ?? null
  const before = await service.countRows()
  const newKey = { name: 'new', scopes: ['prompts:read'] }
  const cases: [method: string, path: string, body: object | undefined, outcome: string][] = [
    ['POST', '/projects', { slug: 'matrix-new' }, '403 scope.global'],
    ['POST', '/projects', { slug: projects.foreign }, '403 scope.global'],
    ['POST', '/keys', newKey, '403 scope.global'],
    ['POST', '/keys', { ...newKey, project: null }, '403 scope.global'],
    ['POST', '/keys', { ...newKey, project: projects.foreign }, '404 project.not_found'],
    ['POST', '/keys', { ...newKey, project: projects.unknown }, '404 project.not_found'],
    ['DELETE', `/projects/${projects.own}`, undefined, '403 scope.global'],
    ['DELETE', `/projects/${projects.foreign}`, undefined, '404 project.not_found'],
    ['DELETE', `/projects/${projects.public}`, undefined, '404 project.not_found'],
    ['DELETE', `/projects/${projects.unknown}`, undefined, '404 project.not_found'],
  ]
  for (const [method, path, body, outcome] of cases) {
    const { status, body: answer } = await service.call(path, { method, body, key: bound })
    t.equal(`${status} ${answer.code}`, outcome, `${method} ${path} ${JSON.stringify(body ?? '')}`)
  }
  t.strictSame(await service.countRows(), before)
})
