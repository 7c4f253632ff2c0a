import t from 'tap'
import { startDetachable } from '../helpers/detachable.js'
import { type Answer, type CallOptions, isPostgres, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'

type Tap = typeof t
type Entry = {
  id: string
  project: string | null
  actor: string
  keyId: string | null
  action: string
  target: string
  requestId: string
  before: Record<string, unknown> | null
  after: Record<string, unknown> | null
  createdAt: string
}

const service = await startService(t)
const { call } = service
let projectCount = 0

/** An empty project of its own for one test. */
async function makeProject() {
  projectCount += 1
  const project = `operations-${projectCount}`
  await call('/projects', { body: { slug: project } })
  return {
    project,
    send: (path: string, options: CallOptions = {}) => call(path, { project, ...options }),
    push: (body: object) => service.push(body, { project }),
    audit: async (query = ''): Promise<Entry[]> => (await call(`/audit?project=${project}&limit=200${query}`)).body.items,
  }
}

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))

function refused(t: Pick<Tap, 'equal'>, answer: Answer, status: number, code: string): void {
  t.equal(answer.status, status, answer.text)
  t.equal(answer.body.code, code, answer.text)
}

t.test('liveness, readiness and health answer anybody', async (t) => {
  for (const path of ['/livez', '/readyz', '/health', '/api/health']) {
    const { status, body } = await call(path, { key: null })
    t.equal(status, 200, path)
    t.equal(body.status, 'ok', path)
  }
  const { body } = await call('/health', { key: null })
  t.strictSame(body.dependencies.database, { kind: isPostgres ? 'postgres' : 'embedded', status: 'up' })
  t.match(body.version, /^\d+\.\d+\.\d+/)
  t.equal(typeof body.uptimeSeconds, 'number')
})

t.test('metrics are in the format of Prometheus, by route, and hold no tenant’s name', async (t) => {
  const { project, send, push } = await makeProject()
  const names = ['weird-prompt-name', 'weird-alias', 'weird-label', 'weird-key', 'weird-subject', 'weird-route', 'weird-query']
  await push({ version: 'weird-label', alias: 'weird-alias', prompts: prompts({ 'weird-prompt-name': 'x' }) })
  const key = await service.createKey({ name: 'weird-key', project, scopes: ['prompts:read'] })
  await send('/prompts/weird-prompt-name/weird-alias?key=weird-subject&tag=weird-query:1', { key: key.secret })
  await send('/prompts/weird-prompt-name/unknown-weird-alias')
  await send('/weird-route/x')
  await send('/prompts', { method: 'OPTIONS' })
  const { status, text, headers } = await call('/metrics', { key: null })
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^text\/plain; ?version=/)
  for (const name of [...names, project]) t.notOk(text.includes(name), name)
  t.match(text, /^promptsync_http_request_duration_seconds_count\{[^}]*route="\/prompts\/:name\/:ref"[^}]*\} \d+$/m)
  t.match(text, /^process_cpu_seconds_total /m)
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  t.strictSame(
    lines.filter((line) => !/^[a-zA-Z_:][\w:]*(\{.*\})? (-?[\d.eE+-]+|NaN|[+-]Inf)$/.test(line)),
    [],
  )
})

type Operation = {
  operationId?: string
  summary?: string
  tags?: string[]
  responses: Record<string, { content?: object }>
  security?: object[]
}

t.test('the OpenAPI is 3.1.0, names every operation once, and refers only to what it holds', async (t) => {
  const { status, body, text, headers } = await call('/openapi.json', { key: null })
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^application\/json/)
  t.equal(body.openapi, '3.1.0')
  const operations = Object.entries(body.paths as Record<string, Record<string, Operation>>).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, ...operation })),
  )
  t.ok(operations.length > 25)
  for (const { name, operationId, summary, tags, responses } of operations) {
    t.match(operationId, /^[a-z][A-Za-z]+$/, name)
    t.ok(summary && tags?.length && Object.keys(responses).length > 0, name)
  }
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
  for (const [, pointer = ''] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const found = pointer
      .split('/')
      .reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], body)
    t.ok(found, pointer)
  }
})

t.test('the OpenAPI says that errors are problems', async (t) => {
  const { paths } = (await call('/openapi.json')).body
  const { default: refusal, 201: created } = paths['/prompts'].post.responses
  t.strictSame(Object.keys(refusal.content), ['application/problem+json'])
  t.strictSame(Object.keys(created.content), ['application/json'])
})

t.test('an answer has the request id that was given, else a new one, also in problems and in the audit', async (t) => {
  const { send, audit } = await makeProject()
  const idOf = async (given?: string) => {
    const { headers, body } = await send('/prompts/unknown/latest', {
      headers: given === undefined ? {} : { 'x-request-id': given },
    })
    t.equal(headers.get('x-request-id'), body.requestId)
    return body.requestId
  }
  for (const given of ['abc-123', 'A:b_c.d', 'x'.repeat(128)]) t.equal(await idOf(given), given)
  const made = [await idOf(), await idOf(), await idOf('x'.repeat(129)), await idOf('two words'), await idOf('<script>')]
  for (const id of made) t.match(id, /^[0-9a-f-]{36}$/)
  t.equal(new Set(made).size, made.length)
  t.equal((await send('/prompts', { headers: { 'x-request-id': 'on-success' } })).headers.get('x-request-id'), 'on-success')
  await send('/prompts', { body: { prompts: prompts({ x: 'a' }) }, headers: { 'x-request-id': 'the-push' } })
  t.equal((await audit())[0]?.requestId, 'the-push')
})

t.test('a problem has type, title, status, detail, code and request id, and no more without findings', async (t) => {
  const { send } = await makeProject()
  for (const answer of [
    await send('/nothing/here'),
    await send('/prompts/x/latest'),
    await send('/prompts', { method: 'PUT' }),
    await send('/keys', { key: null }),
  ]) {
    t.match(answer.headers.get('content-type'), /^application\/problem\+json/)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.strictSame(Object.keys(answer.body), ['type', 'title', 'status', 'detail', 'code', 'requestId'])
    t.equal(answer.body.status, answer.status)
    t.ok(answer.body.type.endsWith(answer.body.code))
  }
  const { body } = await send('/prompts?limit=0')
  t.strictSame(Object.keys(body), ['type', 'title', 'status', 'detail', 'code', 'requestId', 'errors'])
})

/** One mutation after another of everything that can change, with the entries that each is to leave. */
const mutations: [what: string, path: string, options: CallOptions, entries: string[]][] = [
  ['a push', '/prompts', { body: { version: 'one', prompts: prompts({ x: '1', y: '1' }) } }, ['push one']],
  ['a push with an alias', '/prompts', { body: { alias: 'dev', prompts: prompts({ x: '2' }) } }, ['push r2']],
  ['a push that only moves', '/prompts', { body: { base: 'one', alias: 'dev', prompts: prompts({ x: '1' }) } }, ['push one']],
  ['a push of a title', '/prompts', { body: { prompts: [{ name: 'x', content: '2', title: 'T' }] } }, ['push r2']],
  ['a new commit', '/prompts', { body: { prompts: prompts({ x: '2' }), git: { commit: 'a'.repeat(40) } } }, ['push r2']],
  ['an alias', '/aliases/prod', { method: 'PUT', body: { version: 'one' } }, ['alias.move prod']],
  ['a pin', '/aliases/prod', { method: 'PUT', body: { version: 'v2', prompt: 'x' } }, ['alias.move prod of x']],
  ['a move', '/aliases/prod', { method: 'PUT', body: { version: 'r2' } }, ['alias.move prod']],
  ['a canary', '/canary', { body: { alias: 'prod', version: 'one', percentage: 10 } }, ['alias.canary prod']],
  ['its end', '/canary/prod', { method: 'DELETE' }, ['alias.canary.end prod']],
  ['another canary', '/canary', { body: { alias: 'prod', version: 'one', percentage: 20 } }, ['alias.canary prod']],
  ['a promotion', '/canary/prod/promote', { method: 'POST' }, ['alias.promote prod']],
  ['a rollback', '/aliases/prod/rollback', { method: 'POST' }, ['alias.rollback prod']],
  ['a deletion', '/aliases/prod', { method: 'DELETE' }, ['alias.delete prod']],
  ['a patch', '/prompts/x', { method: 'PATCH', body: { title: 'New' } }, ['prompt.update x']],
  ['an archive', '/prompts/y', { method: 'DELETE' }, ['prompt.archive y']],
]

t.test('every mutation leaves exactly its entries in the audit', async (t) => {
  const { send, audit, project } = await makeProject()
  t.strictSame(
    (await audit()).map(({ action, target }) => `${action} ${target}`),
    [`project.create ${project}`],
  )
  let known = 1
  for (const [what, path, options, expected] of mutations) {
    const { status, text } = await send(path, options)
    t.ok(status === 200 || status === 201, `${what}: ${status === 200 || status === 201 ? '' : text}`)
    const entries = await audit()
    const added = entries.slice(0, entries.length - known)
    t.strictSame(added.map(({ action, target }) => `${action} ${target}`).sort(), expected, what)
    known = entries.length
  }
  const patch = { method: 'PATCH', body: { settings: { scan: 'off' } } }
  await send(`/projects/${project}`, patch)
  const key = await service.createKey({ name: 'k', project, scopes: ['admin'] })
  await send(`/keys/${key.id}`, { method: 'DELETE' })
  t.strictSame(
    (await audit()).slice(0, 3).map(({ action, target }) => `${action} ${target}`),
    [`key.revoke ${key.id}`, `key.create ${key.id}`, `project.update ${project}`],
  )
})

t.test('reads, refusals and whatever changes nothing leave no entry', async (t) => {
  const { send, push, audit, project } = await makeProject()
  await push({ version: 'one', alias: 'dev', prompts: [{ name: 'x', content: '1', title: 'T' }] })
  await push({ prompts: prompts({ x: '2', y: '1' }) })
  await send('/canary', { body: { alias: 'dev', version: 'r2', percentage: 10 } })
  await send('/prompts/y', { method: 'DELETE' })
  const key = await service.createKey({ name: 'k', project, scopes: ['prompts:read'] })
  await send(`/keys/${key.id}`, { method: 'DELETE' })
  const before = (await call('/audit')).body
  const noOps: [path: string, options: CallOptions, status: number][] = [
    ['/prompts', { body: { version: 'one', alias: 'dev', prompts: [{ name: 'x', content: '1', title: 'T' }] } }, 200],
    ['/prompts', { body: { dryRun: true, prompts: prompts({ x: '3' }) } }, 200],
    ['/aliases/dev', { method: 'PUT', body: { version: 'one' } }, 200],
    ['/aliases/new', { method: 'PUT', body: { version: 'one', dryRun: true } }, 200],
    ['/canary', { body: { alias: 'dev', version: 'r2', percentage: 10 } }, 200],
    ['/prompts/x', { method: 'PATCH', body: { title: 'T' } }, 200],
    ['/prompts/y', { method: 'DELETE' }, 200],
    [`/projects/${project}`, { method: 'PATCH', body: {} }, 200],
    [`/keys/${key.id}`, { method: 'DELETE' }, 200],
    ['/prompts', {}, 200],
    ['/audit', {}, 200],
    ['/prompts', { body: { prompts: prompts({ x: '{{' }) } }, 422],
    ['/prompts', { body: { version: 'one', prompts: prompts({ x: '9' }) } }, 409],
    ['/prompts', { body: { alias: 'dev', prompts: prompts({ x: '9' }) } }, 409],
    ['/aliases/dev', { method: 'PUT', body: { version: 'r2' } }, 409],
    ['/aliases/dev', { method: 'PUT', body: { version: 'r9' } }, 404],
    ['/aliases/dev', { method: 'DELETE', headers: { 'if-match': '"9"' } }, 412],
    ['/canary', { body: { alias: 'dev', version: 'one', percentage: 10 } }, 409],
    ['/prompts/unknown', { method: 'DELETE' }, 404],
    ['/projects', { body: { slug: project } }, 409],
    ['/keys', { body: { name: 'x', scopes: [] } }, 422],
    ['/prompts', { key: 'ps_bad', body: {} }, 401],
  ]
  for (const [path, options, status] of noOps)
    t.equal((await send(path, options)).status, status, `${options.method ?? ''} ${path}`)
  t.strictSame((await call('/audit')).body, before)
  t.ok((await audit()).length > 0)
})

t.test('the audit is filtered by action, actor and target, and read in pages that stay while it grows', async (t) => {
  const { project, send, push, audit } = await makeProject()
  const key = await service.createKey({ name: `ci-${project}`, project, scopes: ['prompts:write', 'aliases:write'] })
  for (let number = 1; number <= 4; number += 1) await push({ prompts: prompts({ x: `${number}` }) })
  await send('/aliases/dev', { method: 'PUT', body: { version: 'r1' }, key: key.secret })
  await send('/aliases/dev', { method: 'PUT', body: { version: 'r2' } })
  const found = async (query: string) => (await audit(query)).map(({ action, target }) => `${action} ${target}`)
  t.strictSame(await found('&action=alias.move'), ['alias.move dev', 'alias.move dev'])
  t.strictSame(await found(`&actor=ci-${project}`), ['alias.move dev'])
  t.strictSame(await found('&target=r3'), ['push r3'])
  t.strictSame(await found('&action=push&target=dev'), [])
  refused(t, await call('/audit?unknown=1'), 422, 'validation.failed')

  const whole = await audit()
  const paged: Entry[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { body }: Answer = await send(`/audit?limit=3${cursor && `&cursor=${cursor}`}`)
    paged.push(...body.items)
    cursor = body.nextCursor
    await push({ prompts: prompts({ y: `${paged.length}` }) })
  }
  t.strictSame(paged, whole)
  const ids = whole.map(({ id }) => BigInt(id))
  t.ok(
    ids.every((id, index) => index === 0 || id < (ids[index - 1] ?? 0n)),
    'newest first',
  )
})

t.test('the audit is filtered by time, and streamed whole as lines of JSON', async (t) => {
  const { project, push, audit } = await makeProject()
  for (let number = 1; number <= 3; number += 1) await push({ prompts: prompts({ x: `${number}` }) })
  // The database's own clock stamps entries, so that they are apart by less than a test could wait for.
  const times = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00.5Z', '2026-01-03T00:00:00Z']
  await service.deps.db.$executeRaw`
    INSERT INTO audit_entries (project, actor, action, target, request_id, created_at)
    SELECT ${project}, 'somebody', 'test', at, 'test', at::timestamptz FROM unnest(${times}::text[]) at`
  const between = async (query: string) => (await audit(`&action=test${query}`)).map(({ target }) => times.indexOf(target))
  t.strictSame(await between('&since=2026-01-02T00:00:00.5Z'), [2, 1], 'since is inclusive')
  t.strictSame(await between('&until=2026-01-02T00:00:00.5Z'), [0], 'until is not')
  t.strictSame(await between('&since=2026-01-02T01:00:00%2B01:00&until=2026-01-03T00:00:00Z'), [1], 'any offset will do')
  t.strictSame(await audit('&since=2999-01-01T00:00:00Z'), [])
  for (const query of ['since=yesterday', 'until=2026-01-01', 'since=2026-13-01T00:00:00Z', 'format=csv']) {
    refused(t, await call(`/audit?${query}`), 422, 'validation.failed')
  }

  const lines = await call(`/audit?project=${project}&format=ndjson&limit=1`)
  t.equal(lines.headers.get('content-type'), 'application/x-ndjson; charset=utf-8')
  t.strictSame(
    lines.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    await audit(),
  )
  t.equal((await call(`/audit?project=${project}&format=ndjson&action=none`)).text, '')
  await service.deps.db.$executeRaw`
    INSERT INTO audit_entries (project, actor, action, target, request_id) SELECT ${project}, 'many', 'many', n::text, 'test' FROM generate_series(1, 1234) n`
  const many = (await call(`/audit?project=${project}&format=ndjson&actor=many`)).text.trimEnd().split('\n')
  t.strictSame(
    many.map((line) => JSON.parse(line).target),
    Array.from({ length: 1_234 }, (_, index) => String(1_234 - index)),
  )
  refused(t, await call('/audit?format=ndjson', { key: null }), 401, 'auth.required')
  const head = await call('/audit?format=ndjson', { method: 'HEAD' })
  t.equal(head.headers.get('content-type'), 'application/x-ndjson; charset=utf-8')
  t.equal(head.status, 200)
})

t.test('an admin bound to a project sees that project’s audit only', async (t) => {
  const [own, foreign] = [await makeProject(), await makeProject()]
  const { secret } = await service.createKey({ name: 'bound', project: own.project, scopes: ['admin'] })
  await foreign.push({ prompts: prompts({ x: 'a' }) })
  await own.push({ prompts: prompts({ x: 'a' }) })
  const { items } = (await call('/audit?limit=200', { key: secret })).body as { items: Entry[] }
  t.ok(items.length >= 3)
  t.strictSame([...new Set(items.map(({ project }) => project))], [own.project])
  refused(t, await call(`/audit?project=${foreign.project}`, { key: secret }), 404, 'project.not_found')
  const everything = (await call('/audit?limit=200')).body.items as Entry[]
  t.ok(
    everything.some(({ project }) => project === foreign.project),
    'a global one sees all',
  )
})

t.test('the audit and what was once written refuse to be changed, by the database itself', async (t) => {
  const { push, send } = await makeProject()
  await push({ alias: 'dev', git: { commit: 'e'.repeat(40) }, prompts: prompts({ x: 'a', y: '{% include "x" %}' }) })
  await send('/aliases/dev', { method: 'DELETE' })
  const { db } = service.deps
  for (const table of [
    'versions',
    'version_includes',
    'releases',
    'release_entries',
    'release_commits',
    'alias_moves',
    'audit_entries',
  ]) {
    const before = await service.countRows()
    const [{ column } = { column: '' }] = await db.$queryRawUnsafe<{ column: string }[]>(
      `SELECT column_name::text AS column FROM information_schema.columns WHERE table_name = '${table}' AND table_schema = 'public' LIMIT 1`,
    )
    for (const sql of [`UPDATE ${table} SET ${column} = ${column}`, `DELETE FROM ${table}`, `TRUNCATE ${table} CASCADE`]) {
      await t.rejects(db.$executeRawUnsafe(sql), sql)
    }
    t.strictSame(await service.countRows(), before)
  }
  for (const sql of [
    'UPDATE projects SET release_number = 0',
    'UPDATE prompts SET version_number = 0',
    'UPDATE aliases SET revision = 0',
  ]) {
    await t.rejects(db.$executeRawUnsafe(sql), sql)
  }
})

t.test('a failure of the server is a problem that tells nothing of its inside', async (t) => {
  const broken = await startService(t)
  await broken.push({ alias: 'dev', prompts: prompts({ x: 'a' }) })
  await broken.deps.db.$executeRawUnsafe('DROP TABLE audit_entries CASCADE')
  await broken.deps.db.$executeRawUnsafe('ALTER TABLE aliases RENAME COLUMN canary_salt TO gone')
  const answers = [
    await broken.call('/prompts/x/v2'),
    await broken.call('/aliases'),
    await broken.call('/audit'),
    await broken.call('/prompts', { body: { prompts: prompts({ x: 'b' }) } }),
  ]
  for (const answer of answers) {
    refused(t, answer, 500, 'internal')
    t.match(answer.headers.get('content-type'), /^application\/problem\+json/)
    t.strictSame(Object.keys(answer.body), ['type', 'title', 'status', 'detail', 'code', 'requestId'])
    t.equal(answer.headers.get('x-request-id'), answer.body.requestId)
    t.notMatch(answer.text, /aliases|audit_entries|canary_salt|select|prisma|relation|column|\.ts|\.js|node_modules| at /i)
  }
  t.equal((await broken.call('/prompts/x/versions')).body.items.length, 1, 'the failed push has left nothing')
  t.equal((await broken.call('/livez')).status, 200)
})

t.test('while the database is away calls are 503 with Retry-After, and the instance stays alive', async (t) => {
  const { detachable, takeAway, giveBack } = await startDetachable(t)
  await detachable.push({ alias: 'dev', prompts: prompts({ x: 'a' }) })
  t.equal((await detachable.call('/prompts/x/dev')).status, 200)
  await takeAway()
  t.equal((await detachable.call('/prompts/x/dev')).body.content, 'a', 'what is known is answered')
  const answers = [
    await detachable.call('/prompts/unknown/dev'),
    await detachable.call('/prompts/x/dev', { key: 'ps_never_seen' }),
    await detachable.call('/prompts'),
    await detachable.call('/prompts', { body: { prompts: prompts({ x: 'b' }) } }),
    await detachable.call('/aliases/dev', { method: 'PUT', body: { version: 'r1' } }),
    await detachable.call('/keys'),
  ]
  for (const answer of answers) {
    refused(t, answer, 503, 'database.unavailable')
    t.match(answer.headers.get('retry-after'), /^\d+$/)
    t.notMatch(answer.text, /pglite|prisma|select|ECONN|127\.0\.0\.1/i)
  }
  t.equal((await detachable.call('/livez')).status, 200)
  for (const path of ['/readyz', '/health']) {
    const { status, body } = await detachable.call(path)
    t.equal(status, 200, 'traffic is still welcome')
    t.equal(body.status, 'degraded')
  }
  t.equal((await detachable.call('/health')).body.dependencies.database.status, 'down')
  t.equal((await detachable.call('/metrics')).status, 200)
  if (!giveBack) return
  await giveBack()
  await until('it is found to be back', 10_000, async () => (await detachable.call('/readyz')).body.status === 'ok')
  t.equal((await detachable.call('/prompts/x/dev')).body.content, 'a')
  t.equal((await detachable.call('/readyz')).body.status, 'ok')
  t.strictSame((await detachable.call('/prompts/x/versions')).body.items.length, 1, 'the refused push changed nothing')
})
