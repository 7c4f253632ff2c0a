import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import t from 'tap'
import { AdminError } from '../src/admin/admin-error.js'
import { runAdmin } from '../src/admin/commands.js'
import { exportDatabase } from '../src/admin/export.js'
import { importDatabase } from '../src/admin/import.js'
import { createKeyDirectly } from '../src/admin/key.js'
import { readLines } from '../src/admin/lines.js'
import type { Connection } from '../src/database/connect.js'
import { readMigrations } from '../src/database/migrate.js'
import { tables } from '../src/database/tables.js'
import { openSecret, webhookField } from '../src/features/sources/source-rows.service.js'
import { everyRow, openDatabase, type Service, startService } from './helpers/service.js'

type Database = Pick<Service['deps'], 'connection' | 'db'>

const withKey = { env: { PROMPTSYNC_ENCRYPTION_KEYS: Buffer.alloc(32, 1).toString('base64') } }
const hookSecret = 'the secret of a webhook'

const source = await startService(t, withKey)
const refs: string[] = []
await fill(source)

/** A registry with something of every kind in it; notes the paths that answer for every ref. */
async function fill(service: Service): Promise<void> {
  const { call, push, createKey } = service
  await call('/projects', { body: { slug: 'acme', name: 'Acme', settings: { scan: 'off' } } })
  await call('/projects', { body: { slug: 'gone' } })
  const inAcme = { project: 'acme' }
  const commit = (digit: number) => `${digit}`.repeat(40)
  for (let round = 1; round <= 3; round += 1) {
    const git = { repo: 'https://github.com/acme/app', commit: commit(round), branch: 'main', dirty: false }
    const prompts = [
      {
        name: 'x',
        title: `Title ${round}`,
        content: `Hello {{ name }} ${round}`,
        config: { b: 1, a: [round, null], c: { deep: true } },
      },
      {
        name: 'ordner/客服',
        messages: [{ role: 'system', content: `“${round}”\n\t\\ \u2028` }],
        inputs: { type: 'object', properties: { z: {}, a: {} } },
      },
      {
        name: 'varied',
        template: 'none',
        content: '{{',
        variants: [{ tags: { tone: 'kind', locale: 'en-US' }, content: `v${round}` }],
      },
      { name: `only-${round}`, content: '{% include "x" %}', metadata: { n: 1.5, empty: {} }, labels: ['a', 'b'] },
    ]
    await push({ version: `one.${round}`, alias: 'production', message: 'why', git, prompts }, inAcme)
    await push({ prompts: [{ name: 'x', content: `in gone ${round}` }] }, { project: 'gone' })
  }
  await call('/aliases/production', { ...inAcme, method: 'PUT', body: { prompt: 'x', version: 'v1', reason: 'pin' } })
  await call('/aliases/dev', { ...inAcme, method: 'PUT', body: { version: 'r1' } })
  await call('/aliases/old', { ...inAcme, method: 'PUT', body: { version: 'r1' } })
  await call('/aliases/old', { ...inAcme, method: 'DELETE' })
  await call('/canary', { ...inAcme, body: { alias: 'dev', version: 'r3', percentage: 12.34 } })
  await call('/prompts/only-2', { ...inAcme, method: 'DELETE' })
  await call('/prompts/varied/v2/purge', { ...inAcme, body: { reason: 'test' } })
  await createKey({ name: 'reader', project: 'acme', scopes: ['prompts:read'] })
  await call('/projects/gone', { method: 'DELETE' })
  await fillSources(service)
  for (const name of ['x', 'ordner%2F客服', 'varied', 'only-2']) {
    for (const ref of ['v1', 'v2', 'v3', 'r1', 'r2', 'r3', 'one.1', 'one.3', 'production', 'dev', 'old', 'latest', commit(2)]) {
      refs.push(`/prompts/${name}/${ref}?key=user-1&tag=tone:kind`)
    }
    for (const key of ['user-2', 'user-3', 'user-4']) refs.push(`/prompts/${name}/dev?key=${key}`)
    refs.push(`/prompts/${name}`, `/prompts/${name}/versions`)
  }
  refs.push(
    '/prompts',
    '/releases',
    '/releases/r3',
    '/aliases',
    '/aliases/dev',
    '/aliases/production/history',
    '/aliases/dev/history',
    '/canary',
  )
}

/** A source with a secret, one without, and one that is disabled. */
async function fillSources(service: Service): Promise<void> {
  const { call, deps } = service
  const inSynced = { project: 'synced' }
  await call('/projects', { body: { slug: 'synced' } })
  const files = { PATH: 'version: 1\nroutes:\n  - pattern: "{category}.md"\n', 'meeting.md': 'From a source.' }
  const config = { files }
  await putSource(service, 'hooked', { config, prefix: 'hooked', webhookSecret: hookSecret })
  await putSource(service, 'open', { config, prefix: 'open' })
  await putSource(service, 'off', { config, prefix: 'off', enabled: false })
  for (const name of ['hooked', 'open']) {
    const { status, body } = await call(`/sources/${name}/sync`, { ...inSynced, method: 'POST' })
    if (status !== 200 || body.errors.length > 0) throw new Error(JSON.stringify(body))
  }
  const hooked = await deps.db.source.findFirstOrThrow({ where: { name: 'hooked' } })
  await deps.db.sourceDelivery.create({ data: { sourceId: hooked.id, delivery: 'a delivery' } })
}

async function putSource({ call }: Service, name: string, body: object): Promise<void> {
  const answer = await call(`/sources/${name}`, { project: 'synced', method: 'PUT', body: { provider: 'inline', ...body } })
  if (answer.status > 201) throw new Error(answer.text)
}

async function exported(database: Database, keyHashes = false): Promise<string> {
  let text = ''
  await exportDatabase(database, { keyHashes }, async (part) => {
    text += part
  })
  return text
}

const databaseOf = (connection: Connection): Database => ({ connection, db: connection.client })
const importText = (database: Database, text: string) => importDatabase(database, Readable.from([text]))

/** Status, bytes and tag of what a path answers. */
async function answers({ call }: Service): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for (const path of refs) {
    const { status, headers, text, body } = await call(path, { project: 'acme' })
    found[path] = status < 400 ? [status, headers.get('etag'), text] : [status, body.code, body.detail]
  }
  return found
}

t.test('an export imported into an empty database answers every ref with the same bytes', async (t) => {
  const text = await exported(source.deps, true)
  const connection = await openDatabase(t)
  const counts = await importText(databaseOf(connection), text)
  for (const { name } of tables) t.ok((counts[name] ?? 0) > 0, `${name} has rows, so that this test means something`)
  t.equal(await exported(databaseOf(connection), true), text, 'exported again it is the same text')
  const restored = await startService(t, { connection, ...withKey })
  t.strictSame(await answers(restored), await answers(source))

  const pushed = await restored.push({ prompts: [{ name: 'x', content: 'after the restore' }] }, { project: 'acme' })
  t.strictSame([pushed.release.number, pushed.results[0].number], [4, 4], 'numbers go on')
  const anew = await restored.call('/projects', { body: { slug: 'gone' } })
  t.equal(anew.status, 201)
  t.equal((await restored.push({ prompts: [{ name: 'x', content: 'anew' }] }, { project: 'gone' })).results[0].number, 4)
  const refusal = {
    prompts: [{ name: 'other', template: 'none', content: 'fine', variants: [{ tags: { a: 'b' }, content: 'v2' }] }],
  }
  t.equal((await restored.call('/prompts', { project: 'acme', body: refusal })).body.code, 'content.purged')

  const sources = async ({ call }: Service) => (await call('/sources', { project: 'synced' })).body
  t.strictSame(await sources(restored), await sources(source), 'sources come as they are')
  t.equal(await hookSecretOf(restored.deps), hookSecret, 'and the same PROMPTSYNC_ENCRYPTION_KEYS open their credentials')
  const run = await restored.call('/sources/open/sync', { project: 'synced', method: 'POST' })
  t.equal(run.body.status, 'unchanged', 'what was synced is known')
})

async function hookSecretOf(deps: Service['deps']): Promise<unknown> {
  return openSecret(deps, await deps.db.source.findFirstOrThrow({ where: { name: 'hooked' } }), webhookField)
}

t.test('an export without key hashes has no credentials of sources, and the sources that had some come disabled', async (t) => {
  const text = await exported(source.deps)
  const { secrets } = await source.deps.db.source.findFirstOrThrow({ where: { name: 'hooked' } })
  const { n, c } = (secrets as Record<string, { n: string; c: string }>)[webhookField] ?? {}
  t.ok(n && c)
  for (const part of [n, c, hookSecret]) t.notOk(text.includes(part ?? ''))
  const connection = await openDatabase(t)
  await importText(databaseOf(connection), text)
  const restored = await startService(t, { connection })
  const listed = (await restored.call('/sources', { project: 'synced' })).body.items
  t.strictSame(
    listed.map(({ name, enabled, webhookSecret }: Record<string, unknown>) => [name, enabled, webhookSecret]),
    [
      ['hooked', false, null],
      ['off', false, null],
      ['open', true, null],
    ],
  )
})

t.test('an export holds no key by which anyone could get in, unless it is asked for their hashes', async (t) => {
  const reader = await source.createKey({ name: 'reads', project: 'acme', scopes: ['prompts:read'] })
  const rows = (await everyRow(source.deps)).api_keys ?? []
  const hashes = rows.map((row) => JSON.parse(row).secret_hash.slice(2) as string)
  const [without, withHashes] = [await exported(source.deps), await exported(source.deps, true)]
  for (const hash of hashes) t.ok(!without.includes(hash) && withHashes.includes(hash))
  t.notOk(withHashes.includes(reader.secret))

  const restoredWithout = await openDatabase(t)
  await importText(databaseOf(restoredWithout), without)
  const first = await startService(t, { connection: restoredWithout })
  const refused = await first.call('/prompts', { key: reader.secret })
  t.equal(refused.body.code, 'auth.invalid')
  const keys = (await first.call('/keys')).body.items as { name: string; revokedAt: string | null }[]
  t.strictSame(
    keys.filter(({ revokedAt }) => revokedAt === null).map(({ name }) => name),
    ['PROMPTSYNC_ADMIN_KEY'],
    'keys come revoked, so that a start makes a first one where none is given',
  )

  const restoredWith = await openDatabase(t)
  await importText(databaseOf(restoredWith), withHashes)
  const second = await startService(t, { connection: restoredWith })
  t.equal((await second.call('/prompts', { key: reader.secret })).status, 200)
})

t.test('an import that cannot be whole stores nothing and says why', async (t) => {
  const text = await exported(source.deps)
  const lines = text.trimEnd().split('\n')
  const without = (index: number) => `${lines.filter((_, position) => position !== index).join('\n')}\n`
  const withLine = (index: number, line: string) =>
    `${lines.map((old, position) => (position === index ? line : old)).join('\n')}\n`
  const header = JSON.parse(lines[0] ?? '')
  const cases: [what: string, text: string, says: RegExp][] = [
    ['nothing', '', /not an export/],
    ['another file', 'PGDMP\n', /not an export/],
    ['another format', withLine(0, JSON.stringify({ ...header, format: 2 })), /not an export/],
    ['a newer schema', withLine(0, JSON.stringify({ ...header, migration: '9999_future' })), /9999_future/],
    ['no end', without(lines.length - 1), /cut off/],
    ['a missing row', without(lines.length - 2), /says \d+ rows of "audit_entries"/],
    ['a row cut off', withLine(5, lines[5]?.slice(0, -9) ?? ''), /Line 6 is neither/],
    ['a row of no table', withLine(5, '{"table":"pg_class","row":{}}'), /unknown table "pg_class"/],
    ['a row that is no row', withLine(2, '{"table":"projects","row":{"id":"x"}}'), /"projects" up to line \d+ cannot be stored/],
    ['a row twice', withLine(lines.length - 2, lines[lines.length - 3] ?? ''), /cannot be stored/],
  ]
  const connection = await openDatabase(t)
  for (const [what, broken, says] of cases) {
    const error = await importText(databaseOf(connection), broken).then(
      () => null,
      (reason: Error) => reason,
    )
    t.ok(error instanceof AdminError, `${what}: ${error}`)
    t.match(error?.message, says, what)
  }
  const rows = await everyRow({ db: connection.client })
  for (const { name } of tables) t.strictSame(rows[name], [], `${name} is empty`)
  await importText(databaseOf(connection), text)
  await t.rejects(importText(databaseOf(connection), text), { message: /not empty/ }, 'nor does it mix with what is there')
})

t.test('an export of an older schema is imported and brought up to date', async (t) => {
  const { migrations } = await readMigrations()
  t.strictSame(migrations.map(({ name }) => name).slice(0, 2), ['0001_registry', '0002_erasure'])
  const later: Record<string, string[]> = {
    projects: ['epoch', 'epoch_token', 'purge_salt', 'deleted_at'],
    versions: ['purged_at'],
  }
  const older = (await exported(source.deps))
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      const value = JSON.parse(line)
      if (value.promptsync) return [JSON.stringify({ ...value, migration: '0001_registry' })]
      if (value.end) return [JSON.stringify({ end: true, rows: { projects: 4 } })]
      if (/^(kept_numbers|purged_texts|version_includes|release_sources|source.*)$/.test(value.table)) return []
      for (const column of later[value.table] ?? []) delete value.row[column]
      // What the older schema could not hold: a purged version has no hash.
      if (value.table === 'versions') value.row.content_hash ??= 'sha256:0'
      return [JSON.stringify(value)]
    })
  const connection = await openDatabase(t)
  await connection.client.$executeRawUnsafe('DROP SCHEMA public CASCADE')
  await connection.client.$executeRawUnsafe('CREATE SCHEMA public')
  await importText(databaseOf(connection), `${older.join('\n')}\n`)
  const restored = await startService(t, { connection })
  const path = '/prompts/ordner%2F客服/production'
  t.equal((await restored.call(path, { project: 'acme' })).text, (await source.call(path, { project: 'acme' })).text)
  t.match(await connection.client.project.findMany(), [{ epoch: 0n }, { epoch: 0n }, { epoch: 0n }, { epoch: 0n }])
})

t.test('an older export is not imported into a database that is migrated further', async (t) => {
  const [header = '', ...rest] = (await exported(source.deps)).split('\n')
  const older = [JSON.stringify({ ...JSON.parse(header), migration: '0001_registry' }), ...rest].join('\n')
  await t.rejects(importText(databaseOf(await openDatabase(t)), older), { message: /has the schema 0002_erasure already/ })
})

t.test('lines end at line feeds alone, wherever the stream is cut', async (t) => {
  const text = 'a\u2028b\u2029c\r\n\n客服 🎉\nlast'
  const bytes = Buffer.from(text)
  for (const size of [1, 2, 3, 5, 100]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    )
    const lines: string[] = []
    for await (const line of readLines(Readable.from(chunks))) lines.push(line)
    t.strictSame(lines, text.split('\n'), `${size} bytes at a time`)
  }
  const broken = async () => {
    for await (const _ of readLines(Readable.from([Buffer.from([0xff, 0x0a])]))) t.fail('a line that is not UTF-8')
  }
  await t.rejects(broken(), { message: /not UTF-8/ })
})

t.test('an export to a file appears whole, for its owner alone, and takes the place of nothing but a file', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-export-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const said = { stdout: '', stderr: '' }
  const streamTo = (name: keyof typeof said) =>
    new Writable({
      write(chunk, _, done) {
        said[name] += chunk
        done()
      },
    })
  const streams = { stdin: Readable.from([]), stdout: streamTo('stdout'), stderr: streamTo('stderr') }
  const connect = async () => ({ ...source.deps, close: async () => undefined })
  const file = join(directory, 'all.ndjson')
  await writeFile(file, 'an older one', { mode: 0o644 })
  await symlink(file, join(directory, 'link'))
  await runAdmin(['export', join(directory, 'link')], connect, streams)
  t.equal(await readFile(file, 'utf8'), await exported(source.deps))
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.match(said.stderr, /^Exported 4 projects, .* aliases, 3 sources, \d+ keys from /)
  t.equal(said.stdout, '')
  await t.rejects(runAdmin(['export', directory], connect, streams), { message: /is no file/ })
  await t.rejects(runAdmin(['export', '/dev/null'], connect, streams), { message: /is no file/ })
  await t.rejects(runAdmin(['export', join(directory, 'no', 'such')], connect, streams), { message: /cannot be written/ })
  t.strictSame((await readdir(directory)).sort(), ['all.ndjson', 'link'], 'nothing is left over')
  await runAdmin(['export'], connect, streams)
  t.equal(said.stdout, await exported(source.deps))
  await t.rejects(runAdmin(['nothing'], connect, streams), { message: /unknown command "admin nothing"/ })
  await t.rejects(runAdmin(['key', 'create'], connect, streams), { message: /--name is missing/ })
})

t.test('an export is of one moment, and of this program’s schema only', async (t) => {
  const service = await startService(t)
  await service.push({ prompts: [{ name: 'x', content: 'x' }] })
  await service.deps.db
    .$executeRaw`UPDATE _prisma_migrations SET migration_name = '9999_future' WHERE migration_name = '0002_erasure'`
  await t.rejects(exported(service.deps), { message: /lacks the migration 0002_erasure/ })
  await service.deps.db
    .$executeRaw`UPDATE _prisma_migrations SET migration_name = '0002_erasure' WHERE migration_name = '9999_future'`
  let pushing: Promise<unknown> | undefined
  let text = ''
  await exportDatabase(service.deps, { keyHashes: false }, async (part) => {
    pushing ??= service.push({ prompts: [{ name: 'x', content: 'made while the export ran' }] })
    text += part
  })
  await pushing
  const counts = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '').rows
  t.ok(
    text.includes('made while') ? counts.versions === 2 && counts.releases === 2 : counts.versions === 1 && counts.releases === 1,
  )
})

t.test('a key made on the database itself works, and is in the audit', async (t) => {
  const made = await createKeyDirectly(source.deps, { name: 'by hand', project: 'acme', scopes: ['prompts:read'] })
  t.equal((await source.call('/prompts/x/v1', { key: made.secret })).status, 200)
  const [entry] = (await source.call('/audit?action=key.create')).body.items
  t.match(entry, { actor: 'command line', target: made.id, project: 'acme', after: { name: 'by hand' } })
  t.notOk(JSON.stringify(entry).includes(made.secret))
  await t.rejects(createKeyDirectly(source.deps, { name: '', scopes: ['all'] }), { message: /name: .*scopes/ })
  await t.rejects(createKeyDirectly(source.deps, { name: 'k', project: 'none', scopes: ['admin'] }), {
    message: /No project "none"/,
  })
})
