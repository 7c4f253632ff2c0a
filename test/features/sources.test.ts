import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { freePort } from '../helpers/free-port.js'
import { type CallOptions, everyRow, type Service, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { startGitServer } from '../providers/helpers/git-server.js'
import { startGitHub } from '../providers/helpers/github-server.js'
import { startHttpPeer } from '../providers/helpers/http-peer.js'

type Tap = typeof t

const root = await realpath(await mkdtemp(join(tmpdir(), 'promptsync-sources-')))
t.teardown(() => rm(root, { recursive: true, force: true }))
const encryptionKey = randomBytes(32).toString('base64')
const service = await startService(t, {
  env: {
    PROMPTSYNC_FILE_ROOTS: root,
    PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1',
    PROMPTSYNC_ENCRYPTION_KEYS: encryptionKey,
  },
})
const { db } = service.deps
let count = 0

/** An empty project of its own for one test. */
async function makeProject({ call: send }: Pick<Service, 'call'> = service) {
  count += 1
  const project = `sources-${count}`
  await send('/projects', { body: { slug: project } })
  const call = (path: string, options: CallOptions = {}) => send(path, { project, ...options })
  return {
    project,
    call,
    put: (name: string, body: object, options: CallOptions = {}) => call(`/sources/${name}`, { method: 'PUT', body, ...options }),
    sync: async (name: string) => (await call(`/sources/${name}/sync`, { method: 'POST' })).body,
    settled: (name: string) =>
      until('the last run has ended', 10_000, async () => (await call(`/sources/${name}`)).body.lastRun?.finishedAt != null),
    audit: async () =>
      (await call('/audit')).body.items.map(({ action, target }: { action: string; target: string }) => `${action} ${target}`),
    key: async (...scopes: string[]) => (await service.createKey({ name: scopes.join(), project, scopes })).secret,
  }
}

const inline = (files: Record<string, string>, more: object = {}): Record<string, unknown> => ({
  provider: 'inline',
  config: { files },
  enabled: false,
  ...more,
})

/** Runs `work` and checks that it left every table as it was. */
async function changesNothing<T>(t: Pick<Tap, 'strictSame'>, work: () => Promise<T>): Promise<T> {
  const before = await service.countRows()
  const result = await work()
  t.strictSame(await service.countRows(), before, 'no table has gained or lost a row')
  return result
}

t.test('a source that is put is answered whole, is audited, and its first sync follows by itself', async (t) => {
  const { put, settled, call, audit, project } = await makeProject()
  const { status, body } = await put('team', inline({ 'a.md': 'A' }, { enabled: true, prefix: 'x' }))
  t.equal(status, 201)
  t.match(body.lastRun, { status: /^(pending|running)$/, trigger: 'setup', actor: 'PROMPTSYNC_ADMIN_KEY' })
  const { lastRun, createdAt, updatedAt, nextCheckAt, ...rest } = body
  t.strictSame([createdAt, nextCheckAt], [updatedAt, updatedAt])
  t.strictSame(rest, {
    ...{ name: 'team', provider: 'inline', config: { files: { 'a.md': 'A' } }, prefix: 'x', include: [], exclude: [] },
    ...{ template: 'jinja', alias: null, ttlSeconds: 300, staleSeconds: null, webhookSecret: null, enabled: true },
    ...{ status: 'pending', commit: null, release: null, prompts: 0, checkedAt: null, syncedAt: null, unreachableSince: null },
  })
  await settled('team')
  const synced = (await call('/sources/team')).body
  shows(t, synced, { status: 'success', release: 'r1', prompts: 1 })
  t.equal(Date.parse(synced.nextCheckAt) - Date.parse(synced.checkedAt), 300_000)
  t.equal((await call('/prompts/x%2Fa/production')).body.content, 'A')
  t.strictSame(await audit(), ['source.sync team', 'source.create team', `project.create ${project}`])
})

t.test('putting the same again changes nothing, and other settings are audited and synced', async (t) => {
  const { put, settled, call, audit } = await makeProject()
  const body = inline({ 'a.md': 'A' }, { enabled: true, include: ['*.md'], webhookSecret: 'w'.repeat(16) })
  await put('team', body)
  await settled('team')
  const again = await changesNothing(t, () => put('team', body))
  t.equal(again.status, 200)
  await changesNothing(t, () => put('team', { ...body, webhookSecret: 'set' }))
  const { webhookSecret: _, ...without } = body
  await changesNothing(t, () => put('team', without))
  const changed = await put('team', { ...body, ttlSeconds: 60 })
  shows(t, changed.body, { ttlSeconds: 60 })
  await settled('team')
  t.equal((await call('/sources/team/runs')).body.items.length, 2)
  t.strictSame((await audit()).slice(0, 3), ['source.update team', 'source.sync team', 'source.create team'])
})

t.test('settings off their grammar are refused with everything that is wrong', async (t) => {
  const { put } = await makeProject()
  const answer = await changesNothing(t, () =>
    put('team', {
      ...{ provider: 'inline', config: {}, prefix: 'Not A Name', include: ['/abs', '{a,b}'.repeat(9)], template: 'x' },
      ...{ ttlSeconds: 1, staleSeconds: -1, webhookSecret: 'short', alias: 'latest', surprise: true },
    }),
  )
  refused(t, answer, 422, 'validation.failed')
  const paths = answer.body.errors.map(({ path }: { path: string }) => path).sort()
  t.strictSame(paths, [
    'alias',
    'include[0]',
    'include[1]',
    'prefix',
    'staleSeconds',
    'surprise',
    'template',
    'ttlSeconds',
    'webhookSecret',
  ])
  refused(t, await put('Team', inline({ 'a.md': 'A' })), 422, 'validation.failed')
  refused(t, await put('team', { ...inline({}), provider: 'ftp' }), 422, 'validation.failed')
  const config = await put('team', { provider: 'github', config: { repo: 'not a repo', ref: '', surprise: 1 } })
  t.strictSame(config.body.errors.map(({ path }: { path: string }) => path).sort(), [
    'config.ref',
    'config.repo',
    'config.surprise',
  ])
})

t.test('what a look at the source finds wrong is answered whole, and nothing is saved', async (t) => {
  const { put, call } = await makeProject()
  const files = { PATH: 'version: v1\nroutes:\n  - pattern: ../x.md\n  - pattern: /y.md\n', 'image.png': 'x' }
  const answer = await changesNothing(t, () => put('team', inline(files)))
  t.equal(answer.status, 422)
  t.match(answer.body.errors, [
    { code: 'source.invalid', message: /holds 2 files, and no prompt file among them/ },
    { code: 'path.invalid', path: 'PATH', line: 3, message: /^File "PATH", line 3, column \d+: / },
    { code: 'path.invalid', path: 'PATH', line: 4 },
  ])
  const twice = await changesNothing(t, () => put('team', inline({ 'A.md': '1', 'a.txt': '2', '---.md': '3' })))
  t.strictSame(
    twice.body.errors.map(({ code, path }: { code: string; path: string }) => `${code} ${path}`),
    ['file.invalid ---.md', 'file.collision a.txt'],
  )
  refused(t, await put('team', inline({ 'a.md': 'A' }, { include: ['docs/**'] })), 422, 'source.invalid')
  refused(t, await call('/sources/team'), 404, 'source.not_found')
})

t.test('a source that does not answer, or is not there, is not saved', async (t) => {
  const { put } = await makeProject()
  const peer = await startHttpPeer(t)
  const git = await startGitServer(t)
  await git.createRepository('empty.git')
  const other = await git.createRepository('team.git')
  await other.commit({ 'a.md': 'A' })
  const nobody = await freePort()
  await changesNothing(t, async () => {
    const http = (url: string) => put('team', { provider: 'http', config: { url } })
    refused(t, await http(`http://127.0.0.1:${nobody}/a.md`), 503, 'source.unreachable')
    refused(t, await http(`${peer.url}/files/a.md`), 422, 'source.missing')
    const repository = (url: string, more: object = {}) => put('team', { provider: 'git', config: { url, ...more } })
    refused(t, await repository(git.url('empty.git')), 422, 'source.invalid')
    refused(t, await repository(git.url('nothing.git')), 422, 'source.missing')
    const branch = await repository(git.url('team.git'), { ref: 'nowhere' })
    refused(t, branch, 422, 'source.missing')
    t.match(branch.body.detail, /"main"/, 'the default branch is offered')
  })
})

t.test(
  'secrets are stored encrypted and never answered, logged in the audit, or told by a source that repeats them',
  async (t) => {
    const { put, call, sync } = await makeProject()
    const peer = await startHttpPeer(t)
    const token = `Bearer ${randomBytes(16).toString('hex')}`
    const webhookSecret = randomBytes(16).toString('hex')
    peer.files = { 'a.md': 'A' }
    peer.authorization = token
    const body = {
      provider: 'http',
      config: { url: `${peer.url}/files/a.md`, headers: { authorization: token } },
      enabled: false,
      webhookSecret,
    }
    const made = await put('team', body)
    shows(t, made.body, { config: { url: `${peer.url}/files/a.md`, headers: 'set' }, webhookSecret: 'set' })
    t.equal((await sync('team')).status, 'success')
    peer.authorization = 'another'
    const failed = await sync('team')
    t.equal(failed.errors[0].code, 'source.denied')
    const answers = [
      made,
      await call('/sources'),
      await call('/sources/team/runs'),
      await call('/audit'),
      await call('/sources/team/test', { method: 'POST' }),
    ]
    const stored = Object.values(await everyRow(service.deps)).flat()
    for (const text of [...answers.map((answer) => answer.text), ...stored, JSON.stringify(failed)]) {
      if (text.includes(token) || text.includes(token.slice(7)) || text.includes(webhookSecret)) t.fail(text.slice(0, 200))
    }
  },
)

t.test('"set" keeps a stored secret, for the same provider and place alone', async (t) => {
  const { put, sync, call } = await makeProject()
  const [peer, other] = [await startHttpPeer(t), await startHttpPeer(t)]
  peer.files = { 'a.md': 'A', 'b.md': 'B' }
  other.files = peer.files
  peer.authorization = 'Bearer one'
  const config = (url: string, headers: unknown) => ({ provider: 'http', config: { url, headers }, enabled: false })
  refused(t, await put('team', config(`${peer.url}/files/a.md`, 'set')), 422, 'validation.failed')
  await put('team', config(`${peer.url}/files/a.md`, { authorization: 'Bearer one' }))
  t.equal((await put('team', config(`${peer.url}/files/b.md`, 'set'))).status, 200)
  t.equal((await sync('team')).status, 'success')
  await changesNothing(t, async () => {
    const elsewhere = await put('team', config(`${other.url}/files/a.md`, 'set'))
    refused(t, elsewhere, 422, 'validation.failed')
    refused(t, await call('/sources/team/test', { body: config(`${other.url}/files/a.md`, 'set') }), 422, 'validation.failed')
    t.strictSame(other.requests, [], 'nobody else was asked with it')
    refused(t, await put('team', { provider: 'git', config: { url: `${peer.url}/x`, token: 'set' } }), 422, 'validation.failed')
    refused(t, await put('team', { ...config(`${peer.url}/files/a.md`, 'set'), webhookSecret: 'set' }), 422, 'validation.failed')
  })
  const hooked = { ...config(`${peer.url}/files/b.md`, 'set'), webhookSecret: 'w'.repeat(20) }
  t.equal((await put('team', hooked)).body.webhookSecret, 'set')
  t.equal((await put('team', { ...hooked, webhookSecret: 'set', ttlSeconds: 60 })).body.webhookSecret, 'set')
  t.equal((await put('team', { ...hooked, webhookSecret: null })).body.webhookSecret, null)
})

t.test('a secret that cannot be decrypted any more can be set anew', async (t) => {
  const { put, call, sync, project } = await makeProject()
  const peer = await startHttpPeer(t)
  peer.files = { 'a.md': 'A' }
  const body = { provider: 'http', config: { url: `${peer.url}/files/a.md`, headers: { 'x-key': 'one' } }, enabled: false }
  await put('team', body)
  const lost = { headers: { k: '0123456789abcdef', n: 'AAAAAAAAAAAAAAAA', c: 'AAAAAAAAAAAAAAAAAAAAAAAA' } }
  await db.source.updateMany({ where: { project: { slug: project } }, data: { secrets: lost } })
  t.equal((await call('/sources/team')).body.config.headers, 'set')
  const failed = await sync('team')
  t.match(failed, { status: 'failed', errors: [{ code: 'secrets.unavailable' }] })
  t.equal((await put('team', body)).status, 200)
  t.equal((await sync('team')).status, 'success')
})

t.test('without PROMPTSYNC_ENCRYPTION_KEYS a secret is refused before it is used, and sources without one work', async (t) => {
  const bare = await startService(t, { env: { PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1' } })
  const { put } = await makeProject(bare)
  const peer = await startHttpPeer(t)
  peer.files = { 'a.md': 'A' }
  const config = { url: `${peer.url}/files/a.md` }
  const answer = await put('team', { provider: 'http', config: { ...config, headers: { 'x-key': 'one' } } })
  t.equal(answer.body.code, 'secrets.unavailable')
  t.match(answer.body.detail, /PROMPTSYNC_ENCRYPTION_KEYS/)
  t.strictSame(peer.requests, [])
  t.equal((await put('team', { ...inline({ 'a.md': 'A' }), webhookSecret: 'w'.repeat(16) })).body.code, 'secrets.unavailable')
  t.equal((await put('team', { provider: 'http', config, enabled: false })).status, 201)
})

t.test('every call needs sources:write, and naming an alias aliases:write too', async (t) => {
  const { put, call, key } = await makeProject()
  const [reader, writer, mover] = [
    await key('prompts:read'),
    await key('sources:write'),
    await key('sources:write', 'aliases:write'),
  ]
  await put('team', inline({ 'a.md': 'A' }))
  const calls: [string, CallOptions][] = [
    ['/sources', {}],
    ['/sources/team', {}],
    ['/sources/team/runs', {}],
    ['/sources/team', { method: 'PUT', body: inline({ 'a.md': 'B' }) }],
    ['/sources/team', { method: 'DELETE' }],
    ['/sources/team/sync', { method: 'POST' }],
    ['/sources/team/test', { method: 'POST' }],
  ]
  for (const [path, options] of calls) refused(t, await call(path, { ...options, key: reader }), 403, 'scope.missing')
  refused(t, await put('team', inline({ 'a.md': 'B' }, { alias: 'next' }), { key: writer }), 403, 'scope.missing')
  refused(
    t,
    await call('/sources/team/test', { body: inline({ 'a.md': 'B' }, { alias: 'next' }), key: writer }),
    403,
    'scope.missing',
  )
  t.equal((await put('team', inline({ 'a.md': 'B' }), { key: writer })).status, 200)
  t.equal((await call('/sources/team/sync', { method: 'POST', key: writer })).body.status, 'success')
  t.equal((await put('team', inline({ 'a.md': 'B' }, { alias: 'next' }), { key: mover })).status, 200)
  const stranger = await makeProject()
  refused(t, await call('/sources', { key: await stranger.key('sources:write') }), 404, 'project.not_found')
})

t.test('files, databases and private hosts are for a global admin key alone', async (t) => {
  const { put, call, key } = await makeProject()
  const admin = await key('admin')
  const directory = join(root, 'admins')
  await mkdir(directory)
  await writeFile(join(directory, 'a.md'), 'A')
  const peer = await startHttpPeer(t)
  peer.files = { 'a.md': 'A' }
  const kinds = {
    file: { directory },
    database: { url: 'postgres://reader:pw@db.example.com/app', query: 'SELECT path, content FROM prompts' },
    http: { url: `${peer.url}/files/a.md` },
  }
  await changesNothing(t, async () => {
    for (const [provider, config] of Object.entries(kinds)) {
      refused(t, await put('team', { provider, config }, { key: admin }), 403, 'scope.global')
      refused(t, await call('/sources/team/test', { body: { provider, config }, key: admin }), 403, 'scope.global')
    }
  })
  t.strictSame(peer.requests, [])
  t.equal((await put('files', { provider: 'file', config: kinds.file, enabled: false })).status, 201)
  t.equal((await put('web', { provider: 'http', config: kinds.http, prefix: 'web', enabled: false })).status, 201)
  t.equal((await call('/sources/web/sync', { method: 'POST', key: admin })).body.status, 'success', 'who may sync may sync these')
  refused(t, await put('web', { provider: 'http', config: kinds.http, ttlSeconds: 60 }, { key: admin }), 403, 'scope.global')
})

t.test('a place that is private and not allowed is refused, for whom ever', async (t) => {
  const { put } = await makeProject()
  await changesNothing(t, async () => {
    for (const url of ['http://169.254.169.254/a.md', 'https://10.0.0.1/a.md', 'https://localhost/a.md', 'https://[::1]/a.md']) {
      refused(t, await put('team', { provider: 'http', config: { url } }), 422, 'source.blocked')
    }
    const outside = await put('team', { provider: 'file', config: { directory: '/etc' } })
    refused(t, outside, 422, 'source.blocked')
  })
})

t.test('a test tells what a sync would do, with stored settings or others, and stores nothing', async (t) => {
  const { put, sync, call } = await makeProject()
  await put('team', inline({ 'a.md': 'A', 'b.md': 'B' }))
  const stored = await changesNothing(t, () => call('/sources/team/test', { method: 'POST' }))
  shows(t, stored.body, {
    ok: true,
    errors: [],
    results: [
      { name: 'a', status: 'created' },
      { name: 'b', status: 'created' },
    ],
  })
  await sync('team')
  const other = await changesNothing(t, () => call('/sources/team/test', { body: inline({ 'a.md': 'A2', 'c.md': 'C' }) }))
  t.strictSame(other.body.counts, { files: 2, created: 2, unchanged: 0, removed: 1 })
  t.match(other.body.results, [{ name: 'a' }, { name: 'c' }, { name: 'b', status: 'removed' }])
  const wrong = await changesNothing(t, () =>
    call('/sources/team/test', { body: inline({ 'a.md': '{% if %}', 'b.yaml': 'x: [' }) }),
  )
  t.equal(wrong.status, 200)
  t.equal(wrong.body.ok, false)
  t.strictSame(
    wrong.body.errors
      .map(({ code, path, line }: { code: string; path: string; line: number }) => `${code} ${path}:${line}`)
      .sort(),
    ['file.invalid b.yaml:1', 'template.syntax a.md:1'],
  )
  const fresh = await changesNothing(t, () => call('/sources/new/test', { body: inline({ 'x.md': 'X' }) }))
  t.equal(fresh.body.ok, true)
  const conflict = await changesNothing(t, () => call('/sources/new/test', { body: inline({ 'a.md': 'X' }) }))
  t.match(conflict.body, { ok: false, errors: [{ code: 'source.conflict', path: 'a.md' }] })
  refused(t, await call('/sources/new/test', { method: 'POST' }), 404, 'source.not_found')
})

t.test('a sync that is not waited for is 202, with a run to ask for', async (t) => {
  const { put, call, settled } = await makeProject()
  await put('team', inline({ 'a.md': 'A' }))
  const { status, body } = await call('/sources/team/sync?wait=false', { method: 'POST' })
  t.equal(status, 202)
  shows(t, body, { source: 'team', trigger: 'request', finishedAt: null })
  await settled('team')
  const { body: run } = await call(`/sources/team/runs/${body.id}`)
  shows(t, run, { id: body.id, status: 'success', release: 'r1', counts: { files: 1, created: 1, unchanged: 0, removed: 0 } })
  t.equal(run.durationMs, Date.parse(run.finishedAt) - Date.parse(run.startedAt))
  refused(t, await call('/sources/team/runs/999999999'), 404, 'run.not_found')
  refused(t, await call('/sources/team/runs/x'), 422, 'validation.failed')
  refused(t, await call('/sources/team/sync?wait=maybe', { method: 'POST' }), 422, 'validation.failed')
  refused(t, await call('/sources/taem/sync', { method: 'POST' }), 404, 'source.not_found')
})

t.test('sources are listed by name with their state, runs newest first, in pages', async (t) => {
  const { put, call, sync } = await makeProject()
  for (const name of ['c', 'a', 'b']) await put(name, inline({ 'x.md': name }, { prefix: name }))
  const first = await call('/sources?limit=2')
  const second = await call(`/sources?limit=2&cursor=${first.body.nextCursor}`)
  t.strictSame(
    [...first.body.items, ...second.body.items].map(({ name }) => name),
    ['a', 'b', 'c'],
  )
  t.equal(second.body.nextCursor, null)
  const ids = [(await sync('a')).id, (await sync('a')).id, (await sync('a')).id]
  const runs = await call('/sources/a/runs?limit=2')
  const older = await call(`/sources/a/runs?limit=2&cursor=${runs.body.nextCursor}`)
  t.strictSame(
    [...runs.body.items, ...older.body.items].map(({ id }) => id),
    ids.toReversed(),
  )
  const { body } = await call('/sources/b')
  t.strictSame((await call('/sources')).body.items[1], body)
  t.match((await call('/sources/d')).body.detail, /No source "d" in project/)
})

t.test('a project has at most fifty sources', async (t) => {
  const { put, project } = await makeProject()
  const { id } = await db.project.findUniqueOrThrow({ where: { slug: project } })
  const rows = Array.from({ length: 49 }, (_, index) => ({
    projectId: id,
    name: `s${index}`,
    provider: 'inline',
    config: {},
    enabled: false,
  }))
  await db.source.createMany({ data: rows })
  t.equal((await put('last', inline({ 'a.md': 'A' }))).status, 201)
  refused(t, await put('more', inline({ 'a.md': 'A' })), 422, 'validation.failed')
  t.equal((await put('last', inline({ 'a.md': 'B' }))).status, 200)
})

t.test('a removed source is answered once more, is audited, and is gone with its runs', async (t) => {
  const { put, call, sync, audit } = await makeProject()
  await put('team', inline({ 'a.md': 'A' }))
  await sync('team')
  const { status, body } = await call('/sources/team', { method: 'DELETE' })
  t.equal(status, 200)
  shows(t, body, { name: 'team', status: 'success', release: 'r1' })
  for (const path of ['', '/runs']) refused(t, await call(`/sources/team${path}`), 404, 'source.not_found')
  refused(t, await call('/sources/team', { method: 'DELETE' }), 404, 'source.not_found')
  t.equal((await audit())[0], 'source.delete team')
})

t.test('a repository is followed from its first commit to its last, with the commit in the release and in the log', async (t) => {
  const { put, call, sync } = await makeProject()
  const git = await startGitServer(t)
  const repository = await git.createRepository('team.git')
  const first = await repository.commit({ 'prompts/a.md': 'A', 'prompts/b.md': 'B', LICENSE: 'x' })
  await put('team', { provider: 'git', config: { url: git.url('team.git') }, enabled: false })
  const run = await sync('team')
  shows(t, run, { status: 'success', commit: first, release: 'r1' })
  t.ok(run.fetches.length > 0)
  shows(t, (await call('/sources/team')).body, { commit: first, prompts: 2 })
  t.equal((await call(`/prompts/a/${first.slice(0, 10)}`)).body.git.commit, first)
  git.requests.length = 0
  shows(t, await sync('team'), { status: 'unchanged', commit: first })
  t.equal(git.requests.length, 1, 'a check of what did not change is one request')
  const second = await repository.commit({ 'prompts/a.md': 'A2', 'prompts/b.md': 'B', LICENSE: 'x' })
  shows(t, await sync('team'), { commit: second, release: 'r2', counts: { files: 2, created: 1, unchanged: 1, removed: 0 } })
  t.equal((await call('/prompts/a/production')).body.content, 'A2')
  const third = await repository.commit({ 'prompts/a.md': 'A2', 'prompts/b.md': 'B', LICENSE: 'y' })
  shows(t, await sync('team'), { status: 'success', commit: third, release: 'r2' })
  t.equal((await call(`/releases/${third}`)).body.number, 2, 'a commit without a change of prompts names the same release')
  await git.goAway()
  const failed = await sync('team')
  t.match(failed, { status: 'failed', errors: [{ code: 'source.unreachable' }] })
  t.equal((await call('/prompts/a/production')).body.content, 'A2')
})

t.test('a repository of GitHub is followed by any of its spellings, and of a change only what changed is fetched', async (t) => {
  const { put, call, sync } = await makeProject()
  const server = await startGitHub(t)
  const repository = server.create('acme/prompts')
  const token = 'github_pat_of_this_test'
  server.settings.token = token
  repository.isPrivate = true
  const files = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`prompts/${index}.md`, `Prompt ${index}`]))
  repository.commit(files)
  const config = (repo: string) => ({ provider: 'github', config: { repo, baseUrl: server.baseUrl, token }, enabled: false })
  refused(
    t,
    await put('team', { provider: 'github', config: { repo: 'acme/prompts', baseUrl: server.baseUrl, token: 'wrong' } }),
    422,
    'source.denied',
  )
  t.equal((await put('team', config('github.com/acme/prompts'))).status, 201)
  for (const repo of ['acme/prompts', 'https://github.com/acme/prompts', 'https://github.com/acme/prompts.git'])
    await changesNothing(t, () => put('team', config(repo)))
  shows(t, await sync('team'), { status: 'success', counts: { files: 30, created: 30, unchanged: 0, removed: 0 } })
  const commit = repository.commit({ ...files, 'prompts/7.md': 'changed' })
  const before = { ...server.requests }
  shows(t, await sync('team'), { commit, release: 'r2', counts: { files: 30, created: 1, unchanged: 29, removed: 0 } })
  t.equal(server.requests.blob - before.blob, 1)
  t.equal(server.requests.tarball, before.tarball)
  server.rename('acme/prompts', 'acme/library')
  repository.commit({ ...files, 'prompts/7.md': 'moved' })
  t.equal((await sync('team')).status, 'success')
  t.equal((await call('/prompts/7/production')).body.content, 'moved')
})
