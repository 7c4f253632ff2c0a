import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { foreignTables, tables } from '../../src/database/tables.js'
import { hashHex } from '../../src/lib/secrets.js'
import { refused, shows } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type CallOptions, everyRow, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'

const roots = await mkdtemp(join(tmpdir(), 'promptsync-erasure-'))
t.teardown(() => rm(roots, { recursive: true, force: true }))
const encryptionKey = randomBytes(32).toString('base64')
const service = await startService(t, {
  env: { PROMPTSYNC_ENCRYPTION_KEYS: encryptionKey, PROMPTSYNC_FILE_ROOTS: await realpath(roots) },
})
const { call, deps } = service
let projectCount = 0

async function makeProject() {
  projectCount += 1
  const project = `erasure-${projectCount}`
  await call('/projects', { body: { slug: project } })
  return {
    project,
    push: (body: object) => service.push(body, { project }),
    send: (path: string, options: CallOptions = {}) => call(path, { project, ...options }),
    remove: () => call(`/projects/${project}`, { method: 'DELETE' }),
    purge: (name: string, version: string) =>
      call(`/prompts/${name}/${version}/purge`, { project, body: { reason: 'a leaked password' } }),
    allow: (name: string, version: string) => call(`/prompts/${name}/${version}/purge`, { project, method: 'DELETE' }),
  }
}

/** Every row of every table as text, under the table's name. */
const allRows = () => everyRow(deps)

async function tablesHolding(text: string): Promise<string[]> {
  return Object.entries(await allRows())
    .filter(([, rows]) => rows.some((row) => row.includes(text)))
    .map(([name]) => name)
}

t.test('every table says what deleting a project and purging a version do to it', async (t) => {
  const found = Object.keys(await allRows()).sort()
  t.strictSame([...tables.map(({ name }) => name), ...Object.keys(foreignTables)].sort(), found)
})

t.test('deleting a project erases its contents and keeps its row, its numbers and its audit', async (t) => {
  const { project, push, send, remove } = await makeProject()
  await push({
    version: 'one',
    alias: 'dev',
    prompts: [{ name: 'x', content: `secret of ${project}`, title: `title of ${project}` }],
  })
  await push({
    alias: 'dev',
    git: { commit: 'ab'.repeat(20) },
    prompts: [
      { name: 'x', content: 'two' },
      { name: 'y', content: 'other' },
    ],
  })
  await send('/aliases/dev', { method: 'PUT', body: { prompt: 'x', version: 'v1' } })
  await send('/canary', { body: { alias: 'dev', version: 'one', percentage: 5 } })
  const key = await service.createKey({ name: 'ci', project, scopes: ['prompts:read'] })
  t.equal((await send('/prompts/x/dev', { key: key.secret })).status, 200)

  const deleted = await remove()
  t.equal(deleted.status, 200)
  shows(t, deleted.body, { slug: project, erased: { prompts: 2, versions: 3, releases: 2, aliases: 2, sources: 0, keys: 1 } })
  t.strictSame(await tablesHolding(`secret of ${project}`), [])
  t.strictSame(await tablesHolding(`title of ${project}`), [])
  refused(t, await send('/prompts/x/dev'), 404, 'project.not_found')
  refused(t, await send('/prompts', { body: { prompts: [{ name: 'x', content: 'late' }] } }), 404, 'project.not_found')
  refused(t, await send('/prompts/x/dev', { key: key.secret }), 401, 'auth.revoked')
  refused(t, await call(`/projects/${project}`), 404, 'project.not_found')
  refused(t, await remove(), 404, 'project.not_found')
  refused(t, await call('/keys', { body: { name: 'k', project, scopes: ['admin'] } }), 404, 'project.not_found')
  const listed = (await call('/projects?limit=200')).body.items as { slug: string }[]
  t.notOk(listed.some(({ slug }) => slug === project))
  const row = await deps.db.project.findUniqueOrThrow({ where: { slug: project } })
  t.equal(row.releaseNumber, 2)
  t.ok(row.deletedAt)

  const audit = (await call('/audit?action=project.delete&limit=1')).body.items[0]
  shows(t, audit, { project, target: project, actor: 'PROMPTSYNC_ADMIN_KEY' })
  t.ok((await deps.db.auditEntry.count({ where: { project } })) > 5, 'what was done before is still told')
})

t.test('on an instance that still believes a key of a deleted project, the key sees nothing at all', async (t) => {
  const { project, send, push, remove } = await makeProject()
  await push({ prompts: [{ name: 'x', content: 'x' }] })
  const { id, secret } = await service.createKey({ name: 'bound admin', project, scopes: ['admin'] })
  const other = await startService(t, { connection: deps.connection, clock: service.clock })
  t.equal((await other.call('/keys', { key: secret })).body.items.length, 1)
  const believed = other.deps.keys.get(hashHex(secret))
  await remove()
  service.clock.advance(deps.config.maxStalenessMs + 1)
  refused(t, await other.call('/keys', { key: secret }), 401, 'auth.revoked')
  const believing = (path: string, options: CallOptions = {}) => {
    if (believed) other.deps.keys.set(hashHex(secret), believed)
    return other.call(path, { key: secret, ...options })
  }
  for (const path of ['/keys', '/audit', '/projects', '/prompts', `/projects/${project}`]) {
    refused(t, await believing(path), 404, 'project.not_found')
  }
  refused(t, await believing('/keys', { body: { name: 'k', scopes: ['admin'] } }), 404, 'project.not_found')
  refused(t, await believing(`/keys/${id}`, { method: 'DELETE' }), 404, 'project.not_found')
  other.clock.advance(10_000)
  refused(t, await other.call('/keys', { key: secret }), 401, 'auth.revoked')
  refused(t, await send('/keys', { key: secret }), 401, 'auth.revoked')
})

t.test('a slug made anew is empty and goes on with its release, version and revision numbers and its epoch', async (t) => {
  const { project, push, send, remove } = await makeProject()
  for (const content of ['1', '2', '3'])
    await push({
      alias: 'dev',
      prompts: [
        { name: 'x', content },
        { name: 'only-once', content: 'same' },
      ],
    })
  await send('/aliases/dev', { method: 'PUT', body: { prompt: 'x', version: 'v1' } })
  await call(`/projects/${project}`, {
    method: 'PATCH',
    body: { name: 'Old', settings: { publicRead: true, defaultAlias: 'dev' } },
  })
  const before = await deps.db.project.findUniqueOrThrow({ where: { slug: project } })
  await remove()
  const made = await call('/projects', { body: { slug: project } })
  t.equal(made.status, 201)
  shows(t, made.body, { name: null, settings: { publicRead: false, scan: 'warn', defaultAlias: 'production' } })
  t.strictSame((await send('/prompts')).body, { items: [], nextCursor: null })
  t.strictSame((await send('/aliases')).body.items, [])
  t.strictSame((await send('/releases')).body.items, [])
  refused(t, await send('/prompts/x/v3'), 404, 'prompt.not_found')
  const pushed = await push({
    alias: 'dev',
    prompts: [
      { name: 'x', content: '1' },
      { name: 'new', content: 'n' },
      { name: 'only-once', content: 'same' },
    ],
  })
  t.equal(pushed.release.number, 4)
  t.strictSame(
    pushed.results.map(({ name, number }: { name: string; number: number }) => [name, number]),
    [
      ['x', 4],
      ['new', 1],
      ['only-once', 2],
    ],
  )
  t.equal(pushed.alias.revision, 4, 'the alias had revision 3')
  const pin = await send('/aliases/dev', { method: 'PUT', body: { prompt: 'x', version: 'v4' } })
  t.equal(pin.body.revision, 2, 'the pin had revision 1')
  const after = await deps.db.project.findUniqueOrThrow({ where: { slug: project } })
  t.ok(after.epoch > before.epoch)
  t.not(after.epochToken, before.epochToken)
  t.equal(after.id, before.id)

  await remove()
  await call('/projects', { body: { slug: project } })
  const again = await push({ alias: 'dev', prompts: [{ name: 'x', content: '1' }] })
  t.strictSame([again.release.number, again.results[0].number, again.alias.revision], [5, 5, 5])
})

t.test('the audit of a deleted project is for global admins; who gets the slug later sees nothing of before', async (t) => {
  const { project, push, remove } = await makeProject()
  await push({ prompts: [{ name: 'x', content: 'x' }] })
  const earlier = await service.createKey({ name: 'of the old tenant', project, scopes: ['admin'] })
  await remove()
  const actionsOf = async (key: string) =>
    (await call(`/audit?project=${project}`, { key })).body.items.map(({ action }: { action: string }) => action)
  const before = ['project.delete', 'key.create', 'push', 'project.create']
  t.strictSame(await actionsOf(service.adminKey), before)
  t.equal((await call(`/audit?project=${project}&format=ndjson`)).text.trim().split('\n').length, 4)
  refused(t, await call('/audit?project=never-was'), 404, 'project.not_found')
  refused(t, await call(`/keys?project=${project}`), 404, 'project.not_found')
  const reader = await service.createKey({ name: 'reader', scopes: ['prompts:read'] })
  refused(t, await call(`/audit?project=${project}`, { key: reader.secret }), 403, 'scope.missing')
  refused(t, await call(`/audit?project=${project}`, { key: null }), 401, 'auth.required')

  await call('/projects', { body: { slug: project } })
  const later = await service.createKey({ name: 'of the new tenant', project, scopes: ['admin'] })
  t.strictSame(await actionsOf(later.secret), ['key.create', 'project.create'])
  t.strictSame(await actionsOf(service.adminKey), ['key.create', 'project.create', ...before])
  const names = async (key: string) =>
    (await call(`/keys?project=${project}`, { key })).body.items.map(({ name }: { name: string }) => name)
  t.strictSame(await names(later.secret), ['of the new tenant'])
  t.strictSame(await names(service.adminKey), ['of the old tenant', 'of the new tenant'])
  refused(t, await call(`/keys/${earlier.id}`, { method: 'DELETE', key: later.secret }), 404, 'key.not_found')
})

t.test('of two instances that make a deleted slug anew at once one does', async (t) => {
  const other = await startService(t, { connection: deps.connection })
  for (let round = 0; round < 3; round += 1) {
    const { project, remove } = await makeProject()
    await remove()
    const answers = await Promise.all(
      [service, other].map((instance, index) =>
        instance.call('/projects', { body: { slug: project, name: `instance ${index}` } }),
      ),
    )
    t.strictSame(answers.map(({ status }) => status).sort(), [201, 409])
    const made = answers.find(({ status }) => status === 201)
    // Whoever was told that it exists finds it, too.
    for (const instance of [service, other]) t.equal((await instance.call(`/projects/${project}`)).body.name, made?.body.name)
  }
})

t.test('what is deleted with one project leaves every other as it was', async (t) => {
  const [gone, stays] = [await makeProject(), await makeProject()]
  for (const { push, send } of [gone, stays]) {
    await push({ version: 'one', alias: 'dev', git: { commit: 'cd'.repeat(20) }, prompts: [{ name: 'x', content: 'same' }] })
    await send('/aliases/dev', { method: 'PUT', body: { prompt: 'x', version: 'v1' } })
  }
  const own = (rows: string[]) => rows.filter((row) => row.includes(`"project":"${stays.project}"`))
  const snapshot = async () => [
    (await stays.send('/prompts/x/dev')).text,
    (await stays.send('/releases')).text,
    (await stays.send('/aliases')).text,
    own((await allRows()).audit_entries ?? []),
  ]
  const before = await snapshot()
  await gone.remove()
  t.strictSame(await snapshot(), before)
})

t.test('a purged version is gone by every ref, while its releases stay whole', async (t) => {
  const { push, send, purge } = await makeProject()
  const secret = 'the password is correct horse battery staple'
  const config = { note: 'config of the purged version' }
  const variants = [{ tags: { locale: 'de' }, content: 'das Passwort steht hier' }]
  await push({
    version: 'one',
    alias: 'dev',
    git: { commit: 'ef'.repeat(20) },
    prompts: [
      { name: 'x', content: secret, config, variants, inputs: { type: 'object', title: 'inputs of it' } },
      { name: 'y', content: 'y' },
    ],
  })
  await send('/aliases/pin', { method: 'PUT', body: { prompt: 'x', version: 'v1' } })
  await push({ prompts: [{ name: 'x', content: 'clean' }] })
  const { contentHash } = (await send('/prompts/x/v1')).body
  const release = (await send('/releases/one')).body

  const purged = await purge('x', 'one')
  t.equal(purged.status, 200)
  shows(t, purged.body, { name: 'x', version: 'one', number: 1, others: [] })
  for (const ref of ['v1', 'one', 'dev', 'pin', 'r1', 'ef'.repeat(5)])
    refused(t, await send(`/prompts/x/${ref}`), 410, 'version.purged')
  t.equal((await send('/prompts/x/latest')).body.content, 'clean')
  t.equal((await send('/prompts/y/dev')).status, 200)
  t.equal((await send('/prompts/x/dev?fallback=default')).body.source, 'fallback')
  for (const text of [
    secret,
    'das Passwort',
    'config of the purged',
    'inputs of it',
    contentHash,
    contentHash.slice('sha256:'.length),
  ]) {
    t.strictSame(await tablesHolding(text), [], text)
  }
  t.strictSame((await send('/releases/one')).body, release, 'the release names the same versions')
  const [, version] = (await send('/prompts/x/versions')).body.items
  shows(t, version, { version: 'one', number: 1, contentHash: null, purgedAt: purged.body.purgedAt, variantCount: 0 })

  const again = await purge('x', 'v1')
  t.strictSame(again.body, purged.body, 'a purge repeated changes nothing')
  t.equal((await send('/audit?action=version.purge')).body.items.length, 1)
  shows(t, (await send('/audit?action=version.purge')).body.items[0], {
    target: 'x one',
    after: { purged: true, number: 1, reason: 'a leaked password', others: 0, includers: 0 },
  })
})

t.test('the newest version of a prompt can be purged; then a push of new content goes on with the next number', async (t) => {
  const { push, send, purge } = await makeProject()
  await push({
    alias: 'dev',
    prompts: [
      { name: 'x', content: 'leak' },
      { name: 'y', content: 'y' },
    ],
  })
  await purge('x', 'v1')
  refused(t, await send('/prompts/x/latest'), 410, 'version.purged')
  t.equal((await send('/prompts/x')).body.latest.contentHash, null)
  const pushed = await push({ alias: 'dev', prompts: [{ name: 'x', content: 'clean' }] })
  t.strictSame([pushed.results[0].number, pushed.release.number], [2, 2])
  t.equal((await send('/prompts/x/dev')).body.content, 'clean')
  t.equal((await send('/prompts/y/dev')).body.content, 'y')
})

t.test('the text of a purged version is refused wherever it is pushed, until an admin allows it', async (t) => {
  const { push, send, purge, allow } = await makeProject()
  const messages = [{ role: 'system', content: 'sealed chat' }]
  await push({
    prompts: [
      { name: 'x', content: 'sealed', variants: [{ tags: { a: 'b' }, content: 'sealed variant' }] },
      { name: 'chat', messages },
      { name: 'copy', content: 'other', variants: [{ tags: { a: 'b' }, content: 'sealed' }] },
    ],
  })
  const purged = await purge('x', 'v1')
  t.strictSame(purged.body.others, [{ name: 'copy', version: 'v1', number: 1 }], 'who else holds the same text is named')
  await purge('chat', 'v1')
  const refusals: object[] = [
    { prompts: [{ name: 'x', content: 'sealed' }] },
    { prompts: [{ name: 'new', content: 'sealed', config: { a: 1 }, template: 'none' }] },
    { prompts: [{ name: 'new', content: 'fine', variants: [{ tags: { c: 'd' }, content: 'sealed variant' }] }] },
    {
      prompts: [
        { name: 'fine', content: 'fine' },
        { name: 'new', messages },
      ],
    },
    { dryRun: true, prompts: [{ name: 'x', content: 'sealed' }] },
    { files: [{ path: 'from/file.md', content: '---\ntitle: T\n---\nsealed' }] },
  ]
  const before = await service.countRows()
  for (const body of refusals) refused(t, await send('/prompts', { body }), 409, 'content.purged')
  t.strictSame(await service.countRows(), before)
  const several = await send('/prompts', {
    body: {
      prompts: [
        { name: 'a', content: 'fine' },
        { name: 'b', content: 'sealed' },
        { name: 'c', content: 'sealed' },
      ],
    },
  })
  t.strictSame(
    several.body.errors.map(({ path }: { path: string }) => path),
    ['prompts[1]', 'prompts[2]'],
  )
  t.match(several.body.detail, /DELETE \/prompts\/x\/v1\/purge/)
  await push({ prompts: [{ name: 'x', content: 'sealed.' }] })

  t.equal((await allow('x', 'v1')).status, 200)
  refused(t, await allow('x', 'v1'), 404, 'purge.not_found')
  const pushed = await push({ prompts: [{ name: 'x', content: 'sealed' }] })
  t.equal(pushed.results[0].number, 3, 'a new version: the purged one stays purged')
  refused(t, await send('/prompts/x/v1'), 410, 'version.purged')
  refused(t, await send('/prompts', { body: { prompts: [{ name: 'new', messages }] } }), 409, 'content.purged')
})

t.test('a pin to a purged version is made with a warning', async (t) => {
  const { push, send, purge } = await makeProject()
  await push({ prompts: [{ name: 'x', content: 'x' }] })
  await purge('x', 'v1')
  const pin = await send('/aliases/dev', { method: 'PUT', body: { prompt: 'x', version: 'v1' } })
  t.equal(pin.status, 201)
  t.match(pin.body.warnings, [/v1 of prompt "x" was purged/])
})

t.test('a version is purged by number or label only, with a reason', async (t) => {
  const { push, send, purge, allow } = await makeProject()
  await push({ version: 'one', alias: 'dev', git: { commit: '12'.repeat(20) }, prompts: [{ name: 'x', content: 'x' }] })
  await push({ version: 'two', prompts: [{ name: 'y', content: 'y' }] })
  for (const ref of ['dev', 'latest', 'r1', 'two', '1212121212']) refused(t, await purge('x', ref), 422, 'validation.failed')
  refused(t, await purge('x', 'v9'), 404, 'ref.not_found')
  refused(t, await purge('none', 'v1'), 404, 'prompt.not_found')
  refused(t, await allow('x', 'v1'), 404, 'purge.not_found')
  for (const body of [{}, { reason: '' }, { reason: 'x'.repeat(1_001) }, { reason: 'r', force: true }]) {
    refused(t, await send('/prompts/x/v1/purge', { body }), 422, 'validation.failed')
  }
  refused(t, await send('/prompts/x/v1/purge', { method: 'POST' }), 400, 'body.malformed')
  t.equal((await send('/prompts/x/v1')).status, 200)
})

t.test('any text that is purged is recognized, and no other', async (t) => {
  const { push, send, purge } = await makeProject()
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((value) => !value.includes('\0'))
  const body = fc.oneof(
    text.map((content) => ({ content })),
    fc
      .array(fc.record({ role: fc.constantFrom('system', 'user'), content: text }), { minLength: 1, maxLength: 3 })
      .map((messages) => ({ messages })),
  )
  let round = 0
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(body, { minLength: 2, maxLength: 2, selector: (value) => JSON.stringify(value) }),
      async ([bad, good]) => {
        round += 1
        const prompts = (which: object) => ({ prompts: [{ name: `p${round}`, template: 'none', ...which }] })
        await push(prompts(bad ?? {}))
        await purge(`p${round}`, 'v1')
        t.equal((await send('/prompts', { body: prompts(bad ?? {}) })).body.code, 'content.purged')
        const { status, text: answer } = await send('/prompts', { body: { ...prompts(good ?? {}), dryRun: true } })
        // Earlier rounds may have purged the same text.
        t.ok(status === 200 || answer.includes('content.purged'), answer.slice(0, 200))
      },
    ),
    { numRuns: runs(8) },
  )
})

t.test('what was purged leaves the memory of the instance as well', async (t) => {
  const { push, send, purge } = await makeProject()
  await push({ prompts: [{ name: 'x', content: 'in memory {{ name }}' }] })
  const { contentHash } = (await send('/prompts/x/v1')).body
  t.equal((await send('/prompts/x/v1/render', { body: { variables: { name: 'y' } } })).status, 200)
  const key = `${contentHash} {}`
  t.ok(deps.renderable.get(key))
  await purge('x', 'v1')
  t.notOk([...deps.variables.keys()].some((key) => key.includes('in memory')))
  t.notOk(deps.renderable.get(key))
})

/** A project that follows a directory; `write` changes a file there and `sync` answers the run. */
async function makeFollowing(files: Record<string, string>) {
  const made = await makeProject()
  const directory = join(await realpath(roots), made.project)
  await mkdir(directory)
  const write = (path: string, text: string) => writeFile(join(directory, path), text)
  for (const [path, text] of Object.entries(files)) await write(path, text)
  const put = (body: object = {}) =>
    made.send('/sources/files', { method: 'PUT', body: { provider: 'file', config: { directory }, ...body } })
  const sync = async (name = 'files') => (await made.send(`/sources/${name}/sync`, { method: 'POST' })).body
  // A sync that the settings asked for may have come before.
  const synced = async (name?: string) => {
    const run = await sync(name)
    if (run.errors.length > 0) throw new Error(JSON.stringify(run.errors))
  }
  return { ...made, directory, write, put, sync, synced }
}

t.test('deleting a project erases its sources, with their secrets, files, runs and routing', async (t) => {
  const { project, put, synced, remove } = await makeFollowing({
    'x.md': 'x',
    PATH: 'version: 1\nroutes:\n  - pattern: "{a}.md"\n',
  })
  t.equal((await put({ webhookSecret: `secret of ${project}` })).status, 201)
  await synced()
  const { id } = await deps.db.source.findFirstOrThrow({ where: { project: { slug: project } } })
  await deps.db.sourceDelivery.create({ data: { sourceId: id, delivery: 'one' } })
  const stays = await makeFollowing({ 'y.md': 'y' })
  await stays.put()
  await stays.synced()
  const kept = (await stays.send('/sources/files')).text
  const deleted = await remove()
  t.equal(deleted.body.erased.sources, 1)
  const rows = await allRows()
  for (const table of ['source_files', 'source_runs', 'source_deliveries', 'release_sources'])
    t.notOk(
      rows[table]?.some((row) => row.includes(`"source_id":${id},`)),
      table,
    )
  t.notOk(rows.sources?.some((row) => row.includes(`"id":${id},`)))
  t.equal((await stays.send('/sources/files')).text, kept, 'those of another project are as they were')
  await call('/projects', { body: { slug: project } })
  t.strictSame((await call('/sources', { project })).body.items, [])
})

t.test(
  'a purged text is erased from what is known of its source, and its sync fails naming the file until an admin allows it',
  async (t) => {
    const { send, write, put, sync, synced, purge, allow } = await makeFollowing({ 'x.md': 'a leaked text', 'y.md': 'y' })
    await put()
    await synced()
    const [known] = await deps.db.sourceFile.findMany({
      where: { path: 'x.md', source: { name: 'files' } },
      orderBy: { sourceId: 'desc' },
    })
    t.equal((await sync()).status, 'unchanged')
    t.equal((await purge('x', 'v1')).status, 200)
    t.strictSame(await tablesHolding(known?.hash ?? 'none'), [], 'nothing tells the text, its hash neither')
    t.strictSame(await tablesHolding('a leaked text'), [])

    const failed = await sync()
    t.equal(failed.status, 'failed', 'the next check looks again, though nothing changed there')
    t.match(failed.errors, [
      { code: 'content.purged', path: 'x.md', message: /version v1 of "x".*DELETE \/prompts\/x\/v1\/purge/ },
    ])
    t.notOk(JSON.stringify(failed).includes('leaked text'))
    refused(t, await send('/prompts/x/production'), 410, 'version.purged')
    t.equal((await send('/prompts/y/production')).status, 200, 'the last good release stays')

    await allow('x', 'v1')
    t.equal((await sync()).status, 'success')
    t.equal((await send('/prompts/x/production')).body.content, 'a leaked text')
    await purge('x', 'v2')
    await write('x.md', 'a clean text')
    t.equal((await sync()).status, 'success', 'a corrected file needs no permission')
    t.equal((await send('/prompts/x/production')).body.content, 'a clean text')
  },
)

t.test('a sync that began before a purge and would end after it stores nothing, and the next one looks again', async (t) => {
  const { project, send, write, put, sync, synced, purge } = await makeFollowing({ 'x.md': 'purged in mid-sync', 'y.md': 'y' })
  await put()
  await synced()
  const { run } = deps.writes
  t.teardown(() => {
    deps.writes.run = run
  })
  let waiting = 0
  deps.writes.run = (slug, work) => {
    if (slug === project) waiting += 1
    return run(slug, work)
  }
  let release: () => void = () => undefined
  const holding = deps.writes.run(project, () => new Promise<void>((resolve) => (release = resolve)))
  const purging = purge('x', 'v1')
  await until('the purge waits its turn', 5_000, () => waiting === 2)
  await write('y.md', 'y, changed')
  const syncing = sync()
  await until('the sync has read all and waits behind it', 5_000, () => waiting === 3)
  release()
  await holding
  t.equal((await purging).status, 200)
  t.match(await syncing, { status: 'failed', errors: [{ code: 'source.changed' }] })
  t.equal((await send('/prompts/y/production')).body.content, 'y')
  t.match(await sync(), { status: 'failed', errors: [{ code: 'content.purged', path: 'x.md' }] })
})

t.test('a purged text goes from the settings of an inline source, which is disabled until it is set up anew', async (t) => {
  const { send, synced, purge } = await makeFollowing({})
  const put = (files: object) =>
    send('/sources/own', { method: 'PUT', body: { provider: 'inline', config: { files }, enabled: true } })
  await put({ 'x.md': 'an inline leak', 'y.md': 'y' })
  await synced('own')
  const again = { 'prompts/again.md': '---\ntitle: Again\n---\nan inline leak' }
  const config = { files: again }
  await send('/sources/later', { method: 'PUT', body: { provider: 'inline', config, prefix: 'later', enabled: false } })
  await purge('x', 'v1')
  const source = (await send('/sources/own')).body
  t.strictSame([source.enabled, source.config], [false, { files: { 'y.md': 'y' } }])
  t.strictSame(await tablesHolding('an inline leak'), [], 'nor where it was not synced yet, with other things around it')
  await put({ 'x.md': 'clean', 'y.md': 'y' })
  await synced('own')
  t.equal((await send('/prompts/x/production')).body.content, 'clean')
})
