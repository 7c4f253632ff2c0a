import { createHash } from 'node:crypto'
import t from 'tap'
import { flushKeyUses } from '../../src/features/keys/keys.service.js'
import { refused } from '../helpers/assertions.js'
import { type Answer, type CallOptions, isPostgres, startService } from '../helpers/service.js'

type Tap = typeof t
type Key = { id: string; name: string; project: string | null; scopes: string[] }

const service = await startService(t)
const { call } = service
let projectCount = 0

/** A project of its own for one test, in which prompt `x` is at r1 and alias `dev` points to it. */
async function makeProject(settings: object = {}) {
  projectCount += 1
  const project = `access-${projectCount}`
  await call('/projects', { body: { slug: project, settings } })
  await service.push({ alias: 'dev', prompts: [{ name: 'x', content: project }] }, { project })
  return {
    project,
    keyOf: async (...scopes: string[]) => (await service.createKey({ name: scopes.join(), project, scopes })).secret,
  }
}

/** Runs `work` and checks that it left every table as it was. */
async function changesNothing<T>(t: Pick<Tap, 'strictSame'>, work: () => Promise<T>): Promise<T> {
  const before = await service.countRows()
  const result = await work()
  t.strictSame(await service.countRows(), before, 'no table has gained or lost a row')
  return result
}

/** Every row of every table as text. */
async function everyText({ deps, countRows }: Pick<typeof service, 'deps' | 'countRows'>): Promise<string> {
  const rows: string[] = []
  for (const table of Object.keys(await countRows())) {
    const found = await deps.db.$queryRawUnsafe<{ text: string }[]>(
      `SELECT row_to_json(everything)::text AS text FROM "${table}" everything`,
    )
    rows.push(...found.map(({ text }) => text))
  }
  return rows.join('\n')
}

const allScopes = ['prompts:read', 'prompts:write', 'aliases:write', 'sources:write', 'metrics:write', 'admin']
const unknownId = '00000000-0000-4000-8000-000000000000'

t.test('a key is made with its secret, which no later answer and no row of the database holds', async (t) => {
  const { project } = await makeProject()
  const made = await call('/keys', {
    body: { name: 'ci', project, scopes: ['prompts:write', 'aliases:write'], expiresAt: '2999-01-01T00:00:00+02:00' },
  })
  t.equal(made.status, 201)
  t.match(made.body.secret, /^ps_[0-9A-Za-z]{43}$/)
  const { secret, ...key } = made.body
  t.strictSame(key, {
    id: key.id,
    name: 'ci',
    project,
    scopes: ['prompts:write', 'aliases:write'],
    createdAt: key.createdAt,
    expiresAt: '2998-12-31T22:00:00.000Z',
    revokedAt: null,
    lastUsedAt: null,
  })
  const list = await call(`/keys?project=${project}`)
  t.strictSame(list.body, { items: [key], nextCursor: null })
  t.notOk(list.text.includes(secret))
  const stored = await everyText(service)
  t.notOk(stored.includes(secret))
  t.ok(stored.includes(createHash('sha256').update(secret).digest('hex')), 'its SHA-256 is what is stored')
})

t.test('a key without a project is global', async (t) => {
  const { project } = await makeProject()
  const { secret } = await service.createKey({ name: 'everywhere', scopes: ['prompts:read'] })
  t.equal((await call('/prompts/x/dev', { key: secret, project })).body.content, project)
  t.equal((await call('/prompts', { key: secret })).status, 200, 'without a name it is about project default')
  refused(t, await call('/keys', { key: secret }), 403, 'scope.missing')
})

t.test('keys off the schema are refused', async (t) => {
  await changesNothing(t, async () => {
    const bodies = [
      {},
      { name: 'x' },
      { name: 'x', scopes: [] },
      { name: '', scopes: ['admin'] },
      { name: 'x'.repeat(101), scopes: ['admin'] },
      { name: 'x', scopes: ['prompts:delete'] },
      { name: 'x', scopes: 'admin' },
      { name: 'x', scopes: ['admin'], expiresAt: 'tomorrow' },
      { name: 'x', scopes: ['admin'], project: 'Upper' },
      { name: 'x', scopes: ['admin'], secret: 'ps_mine' },
    ]
    for (const body of bodies) refused(t, await call('/keys', { body }), 422, 'validation.failed')
    refused(t, await call('/keys', { body: { name: 'x', scopes: ['admin'], project: 'no-such' } }), 404, 'project.not_found')
    refused(t, await call('/keys/not-an-id', { method: 'DELETE' }), 422, 'validation.failed')
    refused(t, await call(`/keys/${unknownId}`, { method: 'DELETE' }), 404, 'key.not_found')
  })
})

t.test('a key is sent as Bearer or as X-API-Key', async (t) => {
  const { keyOf } = await makeProject()
  const secret = await keyOf('prompts:read')
  const sent: Record<string, string>[] = [
    { authorization: `Bearer ${secret}` },
    { authorization: `bearer ${secret}` },
    { 'x-api-key': secret },
  ]
  for (const headers of sent) {
    t.equal((await call('/prompts/x/dev', { key: null, headers })).status, 200)
  }
})

t.test('no key, a bad, an expired and a revoked one are 401, with a challenge', async (t) => {
  const { project, keyOf } = await makeProject()
  const expiresAt = new Date(service.clock.now().getTime() + 60_000).toISOString()
  const expiring = await service.createKey({ name: 'expiring', project, scopes: ['prompts:read'], expiresAt })
  t.equal((await call('/prompts', { key: expiring.secret })).status, 200)
  service.clock.advance(60_001)
  const revoked = await service.createKey({ name: 'revoked', project, scopes: ['prompts:read'] })
  await call(`/keys/${revoked.id}`, { method: 'DELETE' })
  const good = await keyOf('prompts:read')
  const cases: [options: CallOptions, code: string][] = [
    [{ key: null }, 'auth.required'],
    [{ key: 'ps_unknown' }, 'auth.invalid'],
    [{ key: `${good}x` }, 'auth.invalid'],
    [{ key: good.slice(0, -1) }, 'auth.invalid'],
    [{ key: 'x'.repeat(5_000) }, 'auth.invalid'],
    [{ key: null, headers: { authorization: 'Basic dXNlcjpwdw==' } }, 'auth.invalid'],
    [{ key: null, headers: { authorization: good } }, 'auth.invalid'],
    [{ key: null, headers: { 'x-api-key': 'ps_unknown' } }, 'auth.invalid'],
    [{ key: expiring.secret }, 'auth.expired'],
    [{ key: revoked.secret }, 'auth.revoked'],
  ]
  for (const [options, code] of cases) {
    const answer = await call('/prompts', { project, ...options })
    refused(t, answer, 401, code)
    t.match(answer.headers.get('www-authenticate'), /^Bearer/, code)
    for (const secret of [good, expiring.secret, revoked.secret]) t.notOk(answer.text.includes(secret))
  }
})

t.test('checks come in order: the key, the project, the scope, then the rest', async (t) => {
  const { project, keyOf } = await makeProject()
  const reader = await keyOf('prompts:read')
  const bad = { method: 'PUT', body: '{ not json' }
  refused(t, await call('/aliases/Bad!', { ...bad, key: 'ps_bad', project: 'no-such' }), 401, 'auth.invalid')
  refused(t, await call('/aliases/Bad!', { ...bad, key: null, project: 'no-such' }), 401, 'auth.required')
  refused(t, await call('/aliases/Bad!', { ...bad, key: reader, project: 'no-such' }), 404, 'project.not_found')
  refused(t, await call('/aliases/Bad!', { ...bad, key: reader, project }), 403, 'scope.missing')
  t.equal((await call('/aliases/Bad!', { ...bad, project })).status, 400)
})

t.test('the project is that of the query or the header, else the key’s own, else default', async (t) => {
  const [one, two] = [await makeProject(), await makeProject()]
  const key = await one.keyOf('prompts:read')
  const content = async (path: string, options: CallOptions) => (await call(path, options)).body.content
  t.equal(await content('/prompts/x/dev', { key }), one.project)
  t.equal(await content(`/prompts/x/dev?project=${two.project}`, {}), two.project)
  t.equal(await content('/prompts/x/dev', { project: two.project }), two.project)
  t.equal(await content(`/prompts/x/dev?project=${two.project}`, { project: two.project }), two.project)
  refused(t, await call(`/prompts/x/dev?project=${one.project}`, { project: two.project }), 400, 'project.conflict')
  refused(t, await call(`/prompts/x/dev?project=${one.project}&project=${two.project}`), 400, 'project.conflict')
  refused(t, await call(`/projects/${one.project}`, { project: two.project }), 400, 'project.conflict')
  refused(
    t,
    await call(`/keys?project=${one.project}`, { body: { name: 'x', project: two.project, scopes: ['admin'] } }),
    400,
    'project.conflict',
  )
  refused(t, await call('/prompts?project=Upper'), 422, 'validation.failed')
  refused(t, await call('/prompts', { project: '-x' }), 422, 'validation.failed')
  refused(t, await call('/prompts?project=no-such'), 404, 'project.not_found')
  await service.push({ prompts: [{ name: 'in-default', content: 'd' }] })
  t.equal(await content('/prompts/in-default/latest?project=default', {}), 'd')
})

t.test('a key of one project reads and writes that project only', async (t) => {
  const [own, foreign] = [await makeProject(), await makeProject()]
  const key = await own.keyOf(...allScopes)
  t.equal((await call('/prompts/x/dev', { key })).body.content, own.project)
  t.equal((await call('/prompts', { key, body: { alias: 'dev', prompts: [{ name: 'x', content: 'new' }] } })).status, 201)
  t.equal((await call('/prompts/x/dev', { project: foreign.project })).body.content, foreign.project)
})

t.test('what a stranger makes or revokes tells nothing of a project or a key', async (t) => {
  const [own, secret] = [await makeProject(), await makeProject()]
  const key = await own.keyOf(...allScopes)
  const blind = ({ status, text, headers }: Answer, project: string) => {
    const kept = [...headers].filter(([name]) => !['date', 'x-request-id', 'content-length', 'ratelimit'].includes(name))
    return { status, kept, text: text.replaceAll(project, 'PROJECT').replace(/"requestId":"[^"]*"/, '') }
  }
  const ofSecret = await service.createKey({ name: 'k', project: secret.project, scopes: ['prompts:read'] })
  const revoke = async (id: string) => blind(await call(`/keys/${id}`, { method: 'DELETE', key }), id)
  t.strictSame(await revoke(ofSecret.id), await revoke(unknownId))
  const make = async (project: string) =>
    blind(await call('/keys', { key, body: { name: 'x', project, scopes: ['admin'] } }), project)
  t.strictSame(await make(secret.project), await make('no-such-project'))
})

t.test('a public project is read without a key, with any good one, and by no bad one', async (t) => {
  const [open, other] = [await makeProject({ publicRead: true }), await makeProject()]
  const keys = [null, await other.keyOf('prompts:read'), await other.keyOf('metrics:write'), await open.keyOf('metrics:write')]
  const reads = ['/prompts', '/prompts/x/dev', '/releases/latest', '/aliases/dev/history']
  for (const key of keys) {
    for (const path of reads) t.equal((await call(path, { key, project: open.project })).status, 200, path)
  }
  const { id, secret } = await service.createKey({ name: 'bad soon', scopes: ['admin'] })
  await call(`/keys/${id}`, { method: 'DELETE' })
  for (const key of ['ps_bad', secret]) t.equal((await call('/prompts', { key, project: open.project })).status, 401)

  await call(`/projects/${open.project}`, { method: 'PATCH', body: { settings: { publicRead: false } } })
  refused(t, await call('/prompts', { key: null, project: open.project }), 401, 'auth.required')
  refused(t, await call('/prompts', { key: keys[1] ?? null, project: open.project }), 404, 'project.not_found')
})

t.test('project default exists from the start, public on the embedded database only', async (t) => {
  const { status, body } = await call('/projects/default')
  t.equal(status, 200)
  t.equal(body.settings.publicRead, !isPostgres)
  t.equal((await call('/prompts/meeting/latest', { key: null })).status, isPostgres ? 401 : 200)
  refused(t, await call('/prompts', { key: null, body: { prompts: [{ name: 'x', content: 'x' }] } }), 401, 'auth.required')
})

t.test('an admin bound to a project makes and sees that project’s keys only', async (t) => {
  const [own, foreign] = [await makeProject(), await makeProject()]
  const admin = await own.keyOf('admin')
  const made = await call('/keys', { key: admin, body: { name: 'mine', project: own.project, scopes: ['admin'] } })
  t.equal(made.status, 201)
  t.equal(made.body.project, own.project)
  await changesNothing(t, async () => {
    refused(t, await call('/keys', { key: admin, body: { name: 'global', scopes: ['prompts:read'] } }), 403, 'scope.global')
    refused(
      t,
      await call('/keys', { key: admin, body: { name: 'global', project: null, scopes: ['prompts:read'] } }),
      403,
      'scope.global',
    )
    refused(
      t,
      await call('/keys', { key: admin, body: { name: 'theirs', project: foreign.project, scopes: ['prompts:read'] } }),
      404,
      'project.not_found',
    )
    const theirs = await call(`/keys?project=${foreign.project}`, { key: admin })
    refused(t, theirs, 404, 'project.not_found')
  })
  const { items } = (await call('/keys', { key: admin })).body
  t.strictSame([...new Set(items.map(({ project }: Key) => project))], [own.project])
  t.strictSame(items.map(({ name }: Key) => name).sort(), ['admin', 'mine'])

  await foreign.keyOf('prompts:read')
  const everyKey = (await call('/keys?limit=200')).body.items as Key[]
  const hidden = everyKey.filter(({ project }) => project !== own.project)
  t.ok(hidden.some(({ project }) => project === null) && hidden.some(({ project }) => project === foreign.project))
  for (const { id } of [
    hidden.find(({ project }) => project === null),
    hidden.find(({ project }) => project === foreign.project),
  ] as Key[]) {
    refused(t, await changesNothing(t, () => call(`/keys/${id}`, { method: 'DELETE', key: admin })), 404, 'key.not_found')
  }
  t.equal((await call(`/keys/${made.body.id}`, { method: 'DELETE', key: admin })).status, 200)
})

t.test('an admin bound to a project lists, reads and patches it, and makes none', async (t) => {
  const [own, foreign] = [await makeProject(), await makeProject()]
  const admin = await own.keyOf('admin')
  t.strictSame(
    (await call('/projects', { key: admin })).body.items.map(({ slug }: { slug: string }) => slug),
    [own.project],
  )
  t.equal((await call(`/projects/${own.project}`, { key: admin })).body.slug, own.project)
  const patched = await call(`/projects/${own.project}`, {
    method: 'PATCH',
    key: admin,
    body: { name: 'Ours', settings: { scan: 'off' } },
  })
  t.equal(patched.status, 200)
  t.equal(patched.body.name, 'Ours')
  refused(t, await call('/projects', { key: admin, body: { slug: 'brand-new' } }), 403, 'scope.global')
  refused(t, await call('/projects', { key: admin, body: { slug: foreign.project } }), 403, 'scope.global')
})

t.test('projects are made, listed, shown and changed', async (t) => {
  const made = await call('/projects', { body: { slug: 'made', name: 'Made', settings: { scan: 'block' } } })
  t.equal(made.status, 201)
  const { createdAt, updatedAt } = made.body
  const expected = {
    slug: 'made',
    name: 'Made',
    settings: { publicRead: false, scan: 'block', defaultAlias: 'production' },
    createdAt,
    updatedAt,
  }
  t.strictSame(made.body, expected)
  t.strictSame((await call('/projects/made')).body, expected)
  t.strictSame(
    (await call('/projects?limit=200')).body.items.find(({ slug }: { slug: string }) => slug === 'made'),
    expected,
  )
  await changesNothing(t, async () => {
    refused(t, await call('/projects', { body: { slug: 'made' } }), 409, 'project.exists')
    t.strictSame(
      (await call('/projects/made', { method: 'PATCH', body: { name: 'Made', settings: { scan: 'block' } } })).body,
      expected,
    )
    t.strictSame((await call('/projects/made', { method: 'PATCH', body: {} })).body, expected)
    for (const slug of ['Upper', '-x', 'a_b', 'x'.repeat(64), '', 'a/b'])
      refused(t, await call('/projects', { body: { slug } }), 422, 'validation.failed')
    for (const settings of [{ scan: 'maybe' }, { publicRead: 'yes' }, { unknown: 1 }, { defaultAlias: 'Upper' }]) {
      refused(t, await call('/projects/made', { method: 'PATCH', body: { settings } }), 422, 'validation.failed')
    }
    refused(
      t,
      await call('/projects/made', { method: 'PATCH', body: { settings: { defaultAlias: 'latest' } } }),
      422,
      'name.reserved',
    )
    refused(t, await call('/projects/no-such'), 404, 'project.not_found')
    refused(t, await call('/projects/no-such', { method: 'PATCH', body: {} }), 404, 'project.not_found')
  })
  const changed = await call('/projects/made', {
    method: 'PATCH',
    body: { name: null, settings: { publicRead: true, defaultAlias: 'live' } },
  })
  t.strictSame(changed.body, {
    ...expected,
    name: null,
    settings: { publicRead: true, scan: 'block', defaultAlias: 'live' },
    updatedAt: changed.body.updatedAt,
  })
})

/** Follows a list to its end; `between` runs before every page but the first. */
async function allPages<Item>(path: string, between: (page: number) => Promise<unknown>): Promise<Item[]> {
  const items: Item[] = []
  let cursor: string | null = null
  for (let page = 0; page < 100; page += 1) {
    if (page > 0) await between(page)
    const { body } = await call(cursor === null ? path : `${path}&cursor=${encodeURIComponent(cursor)}`)
    items.push(...body.items)
    cursor = body.nextCursor
    if (cursor === null) return items
  }
  throw new Error(`${path} has no end.`)
}

t.test('pages of keys and of projects hold each once while others are made', async (t) => {
  const { project, keyOf } = await makeProject()
  for (const scope of allScopes) await keyOf(scope)
  const keys = await allPages<Key>(`/keys?project=${project}&limit=2`, (page) =>
    service.createKey({ name: `late ${page}`, project, scopes: ['admin'] }),
  )
  const names = keys.map(({ name }) => name)
  t.strictSame(names.slice(0, 6), allScopes, 'oldest first')
  t.equal(new Set(names).size, names.length)
  const before = (await call('/projects?limit=200')).body.items.map(({ slug }: { slug: string }) => slug)
  const listed = await allPages<{ slug: string }>('/projects?limit=7', (page) =>
    call('/projects', { body: { slug: `a-new-${page}` } }),
  )
  t.strictSame(
    listed.map(({ slug }) => slug).filter((slug) => before.includes(slug)),
    before,
  )
})

t.test('the last use of a key is recorded', async (t) => {
  const { project } = await makeProject()
  const { id, secret } = await service.createKey({ name: 'used', project, scopes: ['prompts:read'] })
  const lastUse = async () => (await call(`/keys?project=${project}`)).body.items.find((key: Key) => key.id === id).lastUsedAt
  t.equal(await lastUse(), null)
  const before = service.clock.now().toISOString()
  await call('/prompts', { key: secret })
  await flushKeyUses(service.deps)
  const first = await lastUse()
  t.ok(first >= before && first <= service.clock.now().toISOString())
  service.clock.advance(5_000)
  await call('/prompts', { key: secret })
  await flushKeyUses(service.deps)
  t.ok((await lastUse()) > first)
})

t.test('a revoked key stops at once on its instance; revoking it again changes nothing', async (t) => {
  const { project } = await makeProject()
  const { id, secret } = await service.createKey({ name: 'leaving', project, scopes: ['prompts:read'] })
  t.equal((await call('/prompts', { key: secret })).status, 200)
  const revoked = await call(`/keys/${id}`, { method: 'DELETE' })
  t.equal(revoked.status, 200)
  t.equal(new Date(revoked.body.revokedAt).toISOString(), revoked.body.revokedAt)
  refused(t, await call('/prompts', { key: secret }), 401, 'auth.revoked')
  const again = await changesNothing(t, () => call(`/keys/${id}`, { method: 'DELETE' }))
  t.strictSame(again.body.revokedAt, revoked.body.revokedAt)
  t.equal((await call(`/keys?project=${project}`)).body.items[0].revokedAt, revoked.body.revokedAt, 'it stays in the list')
})

t.test('a revoked key stops on another instance within ten seconds', async (t) => {
  const { project } = await makeProject()
  const { connection } = service.deps
  const second = await startService(t, { connection, clock: service.clock })
  const { id, secret } = await service.createKey({ name: 'elsewhere', project, scopes: ['prompts:read'] })
  t.equal((await second.call('/prompts', { key: secret })).status, 200)
  await call(`/keys/${id}`, { method: 'DELETE' })
  service.clock.advance(10_000)
  refused(t, await second.call('/prompts', { key: secret }), 401, 'auth.revoked')
})

t.test('no secret of a key is anywhere in the audit or in the database', async (t) => {
  const { project } = await makeProject()
  const made = await service.createKey({ name: 'watched', project, scopes: ['admin'] })
  await call('/keys', { key: made.secret })
  await call('/prompts', { key: made.secret, body: { prompts: [{ name: 'x', content: 'seen' }] } })
  await call('/prompts', { headers: { 'x-api-key': made.secret }, key: null })
  await flushKeyUses(service.deps)
  await call(`/keys/${made.id}`, { method: 'DELETE' })
  const audit = JSON.stringify(await allPages('/audit?limit=200', async () => null))
  t.ok(audit.includes('"key.create"') && audit.includes('"key.revoke"') && audit.includes(made.id))
  const everything = await everyText(service)
  for (const text of [audit, everything]) {
    t.notOk(text.includes(made.secret))
    t.notOk(text.includes(service.adminKey))
    t.notMatch(text, /ps_[0-9A-Za-z]{43}/)
  }
})
