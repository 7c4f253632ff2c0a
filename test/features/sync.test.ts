import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { type Answer, type CallOptions, startService } from '../helpers/service.js'

type Files = Record<string, string | Buffer | null>
type Finding = { code: string; path: string; message: string; line?: number }

const root = await realpath(await mkdtemp(join(tmpdir(), 'promptsync-sync-')))
t.teardown(() => rm(root, { recursive: true, force: true }))
const service = await startService(t, { env: { PROMPTSYNC_FILE_ROOTS: root } })
const { db } = service.deps
let count = 0

/** An empty project of its own for one test. */
async function makeProject(settings: object = {}) {
  count += 1
  const project = `sync-${count}`
  await service.call('/projects', { body: { slug: project, settings } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  return {
    call,
    push: (body: object) => service.push(body, { project }),
    /** Name → number of the version. */
    snapshot: async (ref = 'production'): Promise<Record<string, string>> => {
      const { body } = await call(`/releases/${ref}?limit=200`)
      return Object.fromEntries(body.items.map((item: { name: string; version: string }) => [item.name, item.version]))
    },
    contentOf: async (name: string, ref = 'production') =>
      (await call(`/prompts/${encodeURIComponent(name)}/${ref}`)).body.content,
    aliasOf: async (alias = 'production') => (await call(`/aliases/${alias}`)).body,
    follow: (name: string, settings: object = {}) => follow(project, call, name, settings),
  }
}

/** A source that takes a directory, and is synced when a test says so. */
async function follow(
  project: string,
  call: (path: string, options?: CallOptions) => Promise<Answer>,
  name: string,
  more: object,
) {
  const directory = join(root, project, name)
  await mkdir(directory, { recursive: true })
  const put = (settings: object = {}) =>
    call(`/sources/${name}`, {
      method: 'PUT',
      body: { provider: 'file', config: { directory }, enabled: false, ...more, ...settings },
    })
  return {
    put,
    /** Null removes a file. */
    write: (files: Files) => writeFiles(directory, files),
    sync: async (query = '') => (await call(`/sources/${name}/sync${query}`, { method: 'POST' })).body,
    state: async () => (await call(`/sources/${name}`)).body,
    /** Writes the first files, sets the source up and syncs it. */
    begin: async (files: Files) => {
      await writeFiles(directory, files)
      const answer = await put()
      if (answer.status > 201) throw new Error(answer.text)
      return (await call(`/sources/${name}/sync`, { method: 'POST' })).body
    },
  }
}

async function writeFiles(directory: string, files: Files): Promise<void> {
  await Promise.all(
    Object.entries(files).map(async ([path, content]) => {
      const whole = join(directory, path)
      if (content === null) return rm(whole)
      await mkdir(dirname(whole), { recursive: true })
      return writeFile(whole, content)
    }),
  )
}

const placesOf = ({ errors }: { errors: Finding[] }) =>
  errors.map(({ path, line }) => (line === undefined ? path : `${path}:${line}`))

t.test('the first sync makes one release of all files, and moves the alias of the project to it', async (t) => {
  const { follow, snapshot, contentOf, aliasOf, call } = await makeProject({ defaultAlias: 'live' })
  const team = await follow('team')
  const run = await team.begin({ 'prompts/a.md': 'A', 'prompts/sub/b.txt': 'B', 'README.md': 'no' })
  shows(t, run, {
    ...{ source: 'team', status: 'success', trigger: 'request', release: 'r1', errors: [], warnings: [], commit: null },
    counts: { files: 2, created: 2, unchanged: 0, removed: 0 },
  })
  t.strictSame(await snapshot('live'), { a: 'v1', 'sub/b': 'v1' })
  t.equal(await contentOf('sub/b', 'live'), 'B')
  t.equal((await aliasOf('live')).release, 'r1')
  const { body: audit } = await call('/audit')
  const [entry] = audit.items.filter(({ action }: { action: string }) => action === 'source.sync')
  shows(t, entry, { target: 'team', actor: 'PROMPTSYNC_ADMIN_KEY' })
  shows(t, await team.state(), { status: 'success', release: 'r1', prompts: 2, nextCheckAt: null })
})

t.test('a sync changes what changed: it reuses versions, drops deleted files, and keeps what others pushed', async (t) => {
  const { follow, push, snapshot, contentOf } = await makeProject()
  await push({ alias: 'production', prompts: [{ name: 'pushed', content: 'by hand' }] })
  const team = await follow('team')
  await team.begin({ 'a.md': 'A', 'b.md': 'B', 'c.md': 'C' })
  await team.write({ 'b.md': 'B2', 'c.md': null, 'd.md': 'D' })
  const run = await team.sync()
  t.strictSame(run.counts, { files: 3, created: 2, unchanged: 1, removed: 1 })
  t.strictSame(await snapshot(), { a: 'v1', b: 'v2', d: 'v1', pushed: 'v1' })
  t.equal(await contentOf('b'), 'B2')
  t.strictSame(await snapshot('r2'), { a: 'v1', b: 'v1', c: 'v1', pushed: 'v1' }, 'the release before stays as it was')
})

t.test('a sync that finds nothing changed makes nothing and is not audited', async (t) => {
  const { follow } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A' })
  const before = await service.countRows()
  shows(t, await team.sync(), { status: 'unchanged', release: 'r1', errors: [] })
  t.strictSame(await service.countRows(), { ...before, source_runs: (before.source_runs ?? 0) + 1 })
  shows(t, await team.sync('?force=true'), { status: 'success', release: 'r1' })
  t.strictSame(
    await service.countRows(),
    { ...before, source_runs: (before.source_runs ?? 0) + 2 },
    'nor does one that is forced',
  )
})

t.test('a rolled-back alias stays where it is while the files stay, and moves on with the next change or by force', async (t) => {
  const { follow, call, aliasOf, snapshot } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A', 'b.md': 'B' })
  await team.write({ 'a.md': 'A2' })
  await team.sync()
  const rollBack = () => call('/aliases/production/rollback', { method: 'POST', body: {} })
  await rollBack()
  t.equal((await team.sync()).status, 'unchanged')
  t.equal((await aliasOf()).release, 'r1')
  await team.sync('?force=true')
  t.strictSame(await snapshot(), { a: 'v2', b: 'v1' })
  await call('/aliases/production', { method: 'PUT', body: { version: 'r1' } })
  await team.write({ 'b.md': 'B2' })
  await team.sync()
  t.strictSame(await snapshot(), { a: 'v2', b: 'v2' })
})

t.test('another default alias of the project is made by the next check, though the source did not change', async (t) => {
  const { follow, call, snapshot } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A' })
  await call(`/projects/sync-${count}`, { method: 'PATCH', body: { settings: { defaultAlias: 'live' } } })
  t.equal((await team.sync()).status, 'success')
  t.strictSame(await snapshot('live'), { a: 'v1' })
  await call('/aliases/live', { method: 'DELETE' })
  t.equal((await team.sync()).status, 'success')
  t.strictSame(await snapshot('live'), { a: 'v1' })
  t.equal((await team.sync()).status, 'unchanged')
})

t.test('a sync on a rolled-back alias brings the PATH file of now, whichever the alias went back to', async (t) => {
  const { follow, call } = await makeProject()
  const team = await follow('team')
  const routed = async () => (await call('/resolve?category=x')).body.name
  const pathTo = (name: string) => `version: v1\nroutes:\n  - pattern: "${name}.md"\n`
  await team.begin({ PATH: pathTo('a'), 'schema-version': 'v1', 'a.md': 'A', 'b.md': 'B' })
  t.equal(await routed(), 'a')
  await team.write({ PATH: pathTo('b') })
  await team.sync()
  t.equal(await routed(), 'b')
  await call('/aliases/production/rollback', { method: 'POST', body: {} })
  t.equal(await routed(), 'a')
  await team.write({ 'a.md': 'A2' })
  t.equal((await team.sync()).status, 'success')
  t.equal(await routed(), 'b')
})

t.test('one bad file fails a sync with all that is wrong, each with file and line, and moves nothing', async (t) => {
  const { follow, contentOf, aliasOf } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A', 'b.md': 'B' })
  const kept = ['releases', 'versions', 'prompts', 'alias_moves', 'audit_entries', 'source_files']
  const countKept = async () => {
    const rows = await service.countRows()
    return kept.map((table) => rows[table])
  }
  const before = await countKept()
  await team.write({
    ...{
      'a.md': 'A2',
      'b.md': 'B\n{% if %}',
      'c.yaml': 'name: x\ncontent: [',
      'd.md': Buffer.from([0x41, 0xff]),
      'e.md': 'x'.repeat(300_000),
    },
    ...{
      'f.txt': 'x'.repeat(5 * 1024 ** 2),
      'a b.md': 'one',
      'a-b.md': 'two',
      '---.md': 'x',
      PATH: 'version: v7\nroutes:\n  - pattern: ../x\n',
    },
  })
  const run = await team.sync()
  shows(t, run, { status: 'failed', release: null, counts: null })
  t.strictSame(placesOf(run).sort(), ['---.md', 'PATH:1', 'PATH:3', 'a-b.md', 'b.md:2', 'c.yaml:2', 'd.md', 'e.md', 'f.txt'])
  t.match(
    run.errors.find(({ path }: Finding) => path === 'a-b.md'),
    { code: 'file.collision', message: /"a b\.md" and "a-b\.md"/ },
  )
  t.strictSame(await countKept(), before)
  t.equal(await contentOf('a'), 'A')
  t.equal((await aliasOf()).revision, 1)
  shows(t, await team.state(), { status: 'failed', release: 'r1', unreachableSince: null })
  await team.write({
    'b.md': 'B2',
    'c.yaml': null,
    'd.md': null,
    'e.md': null,
    'f.txt': null,
    'a-b.md': null,
    '---.md': null,
    PATH: null,
  })
  shows(t, await team.sync(), { status: 'success', release: 'r2' })
  t.equal(await contentOf('a'), 'A2')
})

t.test('a source that is gone fails, is said to be out of reach, and what it brought stays', async (t) => {
  const { follow, contentOf } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A' })
  const { config } = await team.state()
  await rm(config.directory, { recursive: true })
  const run = await team.sync()
  t.equal(run.status, 'failed')
  t.equal(run.errors[0].code, 'source.missing')
  t.type((await team.state()).unreachableSince, 'string')
  t.equal(await contentOf('a'), 'A')
  await team.write({ 'a.md': 'A' })
  t.equal((await team.sync()).status, 'unchanged')
  shows(t, await team.state(), { status: 'success', unreachableSince: null })
})

t.test('an emptied source fails in place of dropping every prompt', async (t) => {
  const { follow, snapshot } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A' })
  await team.write({ 'a.md': null })
  const run = await team.sync()
  t.equal(run.errors[0].code, 'source.invalid')
  t.strictSame(await snapshot(), { a: 'v1' })
})

t.test('a file that is renamed is another prompt, unless its name stays the same', async (t) => {
  const { follow, snapshot, call } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'Old Name.md': 'A', 'b.md': 'B' })
  await team.write({ 'Old Name.md': null, 'old-name.md': 'A', 'b.md': null, 'c.md': 'B' })
  const run = await team.sync()
  t.strictSame(await snapshot(), { 'old-name': 'v1', c: 'v1' })
  t.equal(run.release, 'r2')
  const { body } = await call('/prompts', { body: { alias: 'production', prompts: [{ name: 'old-name', content: 'x' }] } })
  t.match(body.detail, /Change the file "old-name\.md"/, 'it is known by its new path')
  await team.write({ 'old-name.md': 'A2' })
  await team.sync()
  t.strictSame(await snapshot(), { 'old-name': 'v2', c: 'v1' })
})

t.test('a source that gets another prefix moves all of its prompts in one release', async (t) => {
  const { follow, snapshot } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A', 'b.md': '{% include "a" %}' })
  await team.put({ prefix: 'team/one' })
  const failed = await team.sync()
  t.match(failed.errors[0].message, /"a"/, 'what is included by its old name is missing')
  await team.write({ 'b.md': '{% include "team/one/a" %}' })
  t.strictSame((await team.sync()).counts, { files: 2, created: 2, unchanged: 0, removed: 2 })
  t.strictSame(await snapshot(), { 'team/one/a': 'v1', 'team/one/b': 'v1' })
})

t.test('a setting that changes how files are read counts for files that did not change', async (t) => {
  const { follow, call, contentOf } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A {{ b }}' })
  await team.put({ template: 'none' })
  shows(t, await team.sync(), { status: 'success', release: 'r2' })
  const { body } = await call('/prompts/a/production')
  shows(t, body, { template: 'none', content: 'A {{ b }}', variables: [] })
  const other = await follow('other')
  await other.write({ 'a.md': 'other' })
  await team.put({ config: { directory: (await other.put({ prefix: 'x' })).body.config.directory } })
  await team.sync()
  t.equal(await contentOf('a'), 'other')
})

t.test('a prompt that was archived comes back when its file is there and the source is synced', async (t) => {
  const { follow, call, push, snapshot } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A', 'b.md': 'B' })
  await call('/prompts/a', { method: 'DELETE' })
  await push({ alias: 'production', prompts: [{ name: 'c', content: 'C' }] })
  t.strictSame(await snapshot(), { b: 'v1', c: 'v1' })
  await team.sync('?force=true')
  t.strictSame(await snapshot(), { a: 'v1', b: 'v1', c: 'v1' })
  t.equal((await call('/prompts/a')).status, 200)
})

t.test('a pushed prompt that a source brings becomes the source’s, and the run says so', async (t) => {
  const { follow, push, snapshot } = await makeProject()
  await push({
    alias: 'production',
    prompts: [
      { name: 'a', content: 'A' },
      { name: 'b', content: 'B' },
    ],
  })
  const team = await follow('team')
  const run = await team.begin({ 'a.md': 'A', 'b.md': 'B2' })
  t.strictSame(
    run.warnings.map((warning: string) => warning.match(/^Prompt "(.)" was pushed before/)?.[1]),
    ['a', 'b'],
  )
  t.strictSame(await snapshot(), { a: 'v1', b: 'v2' })
  t.strictSame((await team.sync('?force=true')).warnings, [], 'it says so once')
})

t.test('a push to what a source owns is refused with its file, and prune never drops it', async (t) => {
  const { follow, call, push, snapshot } = await makeProject()
  await push({
    alias: 'production',
    prompts: [
      { name: 'mine', content: '1' },
      { name: 'other', content: '1' },
    ],
  })
  const team = await follow('team', { prefix: 'team' })
  await team.begin({ 'a.md': 'A' })
  const send = (body: object) => call('/prompts', { body: { alias: 'production', ...body } })
  const answer = await send({ prompts: [{ name: 'team/a', content: 'mine now' }] })
  refused(t, answer, 409, 'source.owned')
  t.match(answer.body.detail, /source "team".*"a\.md".*DELETE \/sources\/team/)
  refused(t, await send({ prompts: [{ name: 'team/a', content: 'A' }] }), 409, 'source.owned')
  t.equal((await send({ prune: true, prompts: [{ name: 'mine', content: '2' }] })).status, 201)
  t.strictSame(await snapshot(), { mine: 'v2', 'team/a': 'v1' })
  const elsewhere = await call('/prompts', { body: { base: 'r1', alias: 'dev', prompts: [{ name: 'team/a', content: 'mine' }] } })
  t.equal(elsewhere.status, 201, 'on a base that has nothing of the source it is nobody’s')
})

t.test('a prompt that follows what it includes stays its source’s, whoever changed that', async (t) => {
  const { follow, call, push, snapshot } = await makeProject()
  await push({ alias: 'production', prompts: [{ name: 'shared', content: 'one' }] })
  const team = await follow('team')
  await team.begin({ 'a.md': '{% include "shared" %}', 'b.md': '{% include "a" %}' })
  await push({ alias: 'production', prompts: [{ name: 'shared', content: 'two' }] })
  t.strictSame(await snapshot(), { a: 'v2', b: 'v2', shared: 'v2' })
  refused(
    t,
    await call('/prompts', { body: { alias: 'production', prompts: [{ name: 'b', content: 'x' }] } }),
    409,
    'source.owned',
  )
  shows(t, await team.sync('?force=true'), { status: 'success', counts: { files: 2, created: 0, unchanged: 2, removed: 0 } })
  await team.write({ 'a.md': '{% include "shared" %}!' })
  await team.sync()
  t.strictSame(await snapshot(), { a: 'v3', b: 'v3', shared: 'v2' })
  await team.write({ 'b.md': null })
  await team.sync()
  t.strictSame(await snapshot(), { a: 'v3', shared: 'v2' })
})

t.test('a file that others include cannot be dropped from under them', async (t) => {
  const { follow, push, snapshot } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A', 'b.md': 'B' })
  await push({ alias: 'production', prompts: [{ name: 'user', content: '{% include "a" %}' }] })
  await team.write({ 'a.md': null })
  const run = await team.sync()
  t.equal(run.status, 'failed')
  t.match(run.errors[0].message, /user/)
  t.strictSame(await snapshot(), { a: 'v1', b: 'v1', user: 'v1' })
})

t.test('two sources share a project by their prefixes; one that brings what the other does fails naming both', async (t) => {
  const { follow, snapshot } = await makeProject()
  const one = await follow('one')
  const two = await follow('two')
  await one.begin({ 'a.md': 'A', 'b.md': 'B' })
  const run = await two.begin({ 'a.md': 'A', 'c.md': 'C' })
  t.equal(run.status, 'failed')
  t.match(run.errors[0], { code: 'source.conflict', path: 'a.md', message: /"a".*source "one" \(file "a\.md"\)/ })
  await two.put({ prefix: 'two' })
  t.equal((await two.sync()).status, 'success')
  t.strictSame(await snapshot(), { a: 'v1', b: 'v1', 'two/a': 'v1', 'two/c': 'v1' })
  await one.write({ 'b.md': 'B2' })
  await one.sync()
  t.strictSame(await snapshot(), { a: 'v1', b: 'v2', 'two/a': 'v1', 'two/c': 'v1' })
})

t.test('what a removed source brought stays, and pushes and other sources may have it', async (t) => {
  const { follow, call, push, snapshot } = await makeProject()
  const one = await follow('one')
  await one.begin({ 'a.md': 'A', 'b.md': 'B' })
  t.equal((await call('/sources/one', { method: 'DELETE' })).status, 200)
  t.strictSame(await snapshot(), { a: 'v1', b: 'v1' })
  await push({ alias: 'production', prompts: [{ name: 'a', content: 'mine' }] })
  const two = await follow('two')
  t.equal((await two.begin({ 'b.md': 'B' })).status, 'success')
  t.strictSame(await snapshot(), { a: 'v2', b: 'v1' })
  refused(
    t,
    await call('/prompts', { body: { alias: 'production', prompts: [{ name: 'b', content: 'x' }] } }),
    409,
    'source.owned',
  )
})

t.test('a canary on the alias holds a sync up, which succeeds once it has ended', async (t) => {
  const { follow, call, snapshot, aliasOf } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A' })
  await call('/prompts', { body: { alias: 'next', prompts: [{ name: 'x', content: 'X' }] } })
  await call('/canary', { body: { alias: 'production', version: 'r2', percentage: 10 } })
  await team.write({ 'a.md': 'A2' })
  const run = await team.sync()
  t.equal(run.status, 'failed')
  t.equal(run.errors[0].code, 'canary.active')
  t.equal((await aliasOf()).release, 'r1')
  const row = await db.source.findFirstOrThrow({ where: { name: 'team', project: { slug: `sync-${count}` } } })
  const waitsMs = row.nextCheckAt.getTime() - service.clock.now().getTime()
  t.ok(waitsMs > 5_000 && waitsMs <= 15_000, 'it is tried again soon')
  await call('/canary/production', { method: 'DELETE' })
  t.equal((await team.sync()).status, 'success')
  t.strictSame(await snapshot(), { a: 'v2' })
})

t.test('a text that was purged fails the sync that brings it, until an admin allows it', async (t) => {
  const { follow, call, push, snapshot } = await makeProject()
  await push({ alias: 'production', prompts: [{ name: 'leak', content: 'secret words' }] })
  await call('/prompts/leak/v1/purge', { body: { reason: 'leaked' } })
  const team = await follow('team', { prefix: 'team' })
  const run = await team.begin({ 'a.md': 'A', 'b.md': 'secret words' })
  t.equal(run.status, 'failed')
  t.match(run.errors, [{ code: 'content.purged', path: 'b.md', message: /^Prompt "team\/b" holds a text that was purged/ }])
  t.notMatch(JSON.stringify(run), /secret words/)
  await call('/prompts/leak/v1/purge', { method: 'DELETE' })
  await team.sync()
  t.strictSame(await snapshot(), { leak: 'v1', 'team/a': 'v1', 'team/b': 'v1' })
})

t.test('what the scan finds is a warning, and fails the sync where the project blocks it', async (t) => {
  const warned = await makeProject()
  const run = await (await warned.follow('team')).begin({ 'a.md': '<script>x</script>' })
  t.equal(run.status, 'success')
  t.match(run.warnings[0], /"a" holds/)
  const blocked = await makeProject({ scan: 'block' })
  const failed = await (await blocked.follow('team')).begin({ 'a.md': 'fine', 'b.md': 'x\n<script>x</script>' })
  t.match(failed.errors, [{ code: 'content.blocked', path: 'b.md', message: /line 2/ }])
})

t.test('a byte order mark and front matter are no part of the content; a name inside is the title', async (t) => {
  const { follow, contentOf, call } = await makeProject()
  const team = await follow('team')
  await team.begin({
    'a.md': '\ufeffA',
    'b.md': '---\nname: Bee\ndescription: about b\n---\nB {{ x }}\n',
    'c.yaml': 'name: Sea\ncontent: C\n',
    'd.prompt.yml': 'messages:\n  - role: system\n    content: D\n',
  })
  t.strictSame([await contentOf('a'), await contentOf('b'), await contentOf('c')], ['A', 'B {{ x }}\n', 'C'])
  shows(t, (await call('/prompts/b')).body, { title: 'Bee', description: 'about b' })
  shows(t, (await call('/prompts/d/production')).body, { type: 'chat', messages: [{ role: 'system', content: 'D' }] })
})

t.test('a PATH file is part of the release, and a change of it alone makes one', async (t) => {
  const { follow } = await makeProject()
  const team = await follow('team')
  const pathOf = async (release: string) => {
    const { id } = await db.project.findUniqueOrThrow({ where: { slug: `sync-${count}` } })
    const row = await db.release.findFirstOrThrow({ where: { projectId: id, number: Number(release.slice(1)) } })
    const held = await db.releaseSource.findFirst({ where: { releaseId: { in: row.lineage } }, orderBy: { releaseId: 'desc' } })
    return held?.pathFile ?? null
  }
  const routing = (pattern: string) => `version: v1\nroutes:\n  - pattern: ${pattern}\n`
  await team.begin({ 'a.md': 'A', PATH: routing('a.md') })
  t.equal(await pathOf('r1'), routing('a.md'))
  await team.write({ PATH: routing('b.md') })
  const run = await team.sync()
  shows(t, run, { status: 'success', release: 'r2', counts: { files: 1, created: 0, unchanged: 1, removed: 0 } })
  t.equal(await pathOf('r2'), routing('b.md'))
  t.equal(await pathOf('r1'), routing('a.md'))
  t.strictSame(run.warnings, [])
  await team.write({ 'schema-version': 'v2' })
  t.match(await team.sync(), { status: 'failed', errors: [{ code: 'path.invalid', path: 'schema-version' }] })
  await team.write({ 'schema-version': null, PATH: null })
  t.equal((await team.sync()).release, 'r3')
  t.equal(await pathOf('r3'), null)
  await team.write({ PATH: 'version: v1\nroutes:\n  one: a.md\n  two: b.md\nfallback_chain: [one]\n' })
  t.match((await team.sync()).warnings, [/^File "PATH", line 4: The route is never tried/])
})

t.test('a sync moves the alias that its source names, and no other', async (t) => {
  const { follow, push, snapshot, aliasOf } = await makeProject()
  await push({ alias: 'production', prompts: [{ name: 'a', content: 'old' }] })
  const team = await follow('team', { alias: 'next', prefix: 'team' })
  await team.begin({ 'a.md': 'A' })
  t.strictSame(await snapshot('next'), { a: 'v1', 'team/a': 'v1' })
  shows(t, await aliasOf(), { release: 'r1', revision: 1 })
})

t.test('a disabled source is synced when it is asked for, and else not at all', async (t) => {
  const { follow, call } = await makeProject()
  const team = await follow('team')
  await team.write({ 'a.md': 'A' })
  shows(t, (await team.put()).body, { enabled: false, status: 'pending', lastRun: null, nextCheckAt: null })
  t.strictSame((await call('/sources/team/runs')).body.items, [])
  t.equal((await team.sync()).status, 'success')
})

t.test('hundreds of files are one release, and of their next change one file is read', async (t) => {
  const { follow } = await makeProject()
  const team = await follow('team')
  const files = Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => [`prompts/${index % 40}/${index}.md`, `Prompt ${index}`]),
  )
  const run = await team.begin(files)
  shows(t, run, { status: 'success', release: 'r1', counts: { files: 500, created: 500, unchanged: 0, removed: 0 } })
  await team.write({ 'prompts/1/1.md': 'changed' })
  t.strictSame((await team.sync()).counts, { files: 500, created: 1, unchanged: 499, removed: 0 })
  t.equal((await team.state()).prompts, 500)
})

t.test('the newest hundred runs are kept', async (t) => {
  const { follow, call } = await makeProject()
  const team = await follow('team')
  await team.begin({ 'a.md': 'A' })
  const { id } = await db.source.findFirstOrThrow({ where: { name: 'team', project: { slug: `sync-${count}` } } })
  await db.$executeRaw`
    INSERT INTO source_runs (source_id, trigger, actor, request_id, status, finished_at)
    SELECT ${id}::bigint, 'schedule', 'sync', 'x', 'unchanged', now() FROM generate_series(1, 150)`
  const run = await team.sync()
  t.equal(await db.sourceRun.count({ where: { sourceId: id } }), 100)
  const { body } = await call('/sources/team/runs?limit=200')
  t.equal(body.items[0].id, run.id)
  refused(t, await call('/sources/team/runs/1'), 404, 'run.not_found')
})
