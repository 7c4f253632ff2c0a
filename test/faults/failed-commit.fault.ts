import { readFile } from 'node:fs/promises'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { type Connection, connectPostgres, embeddedConnection } from '../../src/database/connect.js'
import { migrate } from '../../src/database/migrate.js'
import { startService, type Teardown } from '../helpers/service.js'
import { templateFile } from '../helpers/template.js'
import { startPostgres } from './helpers/postgres-server.js'

// The schema has no constraint that is checked at the commit, because the embedded engine once hid that it failed. Should
// one ever fail, of whatever cause, the caller must hear of it.

async function openEmbedded(t: Teardown): Promise<Connection> {
  const connection = embeddedConnection(await PGlite.create({ loadDataDir: new Blob([await readFile(await templateFile())]) }))
  t.teardown(() => connection.close())
  return connection
}

async function openPostgres(t: Teardown): Promise<Connection> {
  const connection = await connectPostgres(await (await startPostgres(t)).createDatabase('commits'))
  t.teardown(() => connection.close())
  await migrate(connection)
  return connection
}

const writes = [
  { table: 'release_entries', path: '/prompts', options: { body: { prompts: [{ name: 'entry', content: 'one' }] } }, made: 201 },
  { table: 'releases', path: '/prompts', options: { body: { prompts: [{ name: 'release', content: 'one' }] } }, made: 201 },
  { table: 'alias_moves', path: '/aliases/dev', options: { method: 'PUT', body: { version: 'ground' } }, made: 201 },
  { table: 'projects', path: '/projects', options: { body: { slug: 'acme' } }, made: 201 },
  { table: 'api_keys', path: '/keys', options: { body: { name: 'ci', scopes: ['prompts:read'] } }, made: 201 },
  { table: 'audit_entries', path: '/keys', options: { body: { name: 'ci', scopes: ['prompts:read'] } }, made: 201 },
]

for (const [engine, open] of [
  ['the embedded engine', openEmbedded],
  ['a server', openPostgres],
] as const) {
  t.test(`a commit that fails on ${engine}`, async (t) => {
    const { deps, call, push, countRows } = await startService(t, { connection: await open(t) })
    await push({ version: 'ground', prompts: [{ name: 'ground', content: 'stays' }] })
    await deps.db.$executeRawUnsafe(
      "CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no commit today'; END; $$",
    )
    for (const { table, path, options, made } of writes) {
      t.test(`${path}, refused by ${table}, is an error that changes nothing, and succeeds afterwards`, async (t) => {
        await deps.db.$executeRawUnsafe(
          `CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON ${table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_commit()`,
        )
        const before = await countRows()
        const refused = await call(path, options)
        t.ok(refused.status >= 500, `${refused.status} ${refused.text}`)
        t.notMatch(refused.text, /no commit today|trigger/, 'the message stays in the log')
        t.strictSame(await countRows(), before)
        await deps.db.$executeRawUnsafe(`DROP TRIGGER refuse_commit ON ${table}`)
        const again = await call(path, options)
        t.equal(again.status, made, again.text)
        t.notSame(await countRows(), before)
      })
    }
  })
}
