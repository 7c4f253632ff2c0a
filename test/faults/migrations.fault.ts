import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { readMigrations } from '../../src/database/migrate.js'
import type { Teardown } from '../helpers/service.js'
import { type PostgresServer, startPostgres } from './helpers/postgres-server.js'
import { buildPackage, makeDataDirectory, makeDirectory, servePromptsync, startPromptsync } from './helpers/promptsync.js'

const root = await buildPackage(t)
const known = (await readMigrations()).migrations.map(({ name }) => name)

const broken = {
  name: '9999_broken',
  sql: 'CREATE TABLE half_done (id int);\nINSERT INTO half_done VALUES (1);\nALTER TABLE no_such_table ADD COLUMN a int;\nCREATE TABLE never (id int);\n',
}
const newer = { name: '9998_newer', sql: 'CREATE TABLE newer (id int);\n' }

/** Ships another migration with the package while `work` runs. */
async function shipping<T>({ name, sql }: { name: string; sql: string }, work: () => Promise<T>): Promise<T> {
  const folder = join(root, 'prisma', 'migrations', name)
  await mkdir(folder)
  await writeFile(join(folder, 'migration.sql'), sql)
  try {
    return await work()
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** A database of its own: how a process finds it, and how it is asked while no process uses it. */
type Place = { env: Record<string, string>; ask(sql: string): Promise<Record<string, unknown>[]> }

async function embeddedPlace(t: Teardown): Promise<Place> {
  const directory = await makeDataDirectory(t)
  return {
    env: { PROMPTSYNC_DATA_DIR: directory },
    async ask(sql) {
      const pglite = await PGlite.create({ dataDir: join(directory, 'postgres') })
      try {
        return (await pglite.query<Record<string, unknown>>(sql)).rows
      } finally {
        await pglite.close()
      }
    },
  }
}

let server: PostgresServer | undefined
async function serverPlace(test: Teardown & Pick<typeof t, 'equal'>): Promise<Place> {
  server ??= await startPostgres(t)
  const name = `migrations_${Date.now()}`
  const env = { DATABASE_URL: await server.createDatabase(name), PROMPTSYNC_DATA_DIR: await makeDirectory(test) }
  const first = startPromptsync(test, root, { env, args: ['migrate'] })
  test.equal((await first.exited).code, 0, first.stderr())
  const session = await server.connect(name)
  return { env, ask: async (sql) => (await session.query(sql)).rows }
}

for (const [engine, makePlace] of [
  ['embedded', embeddedPlace],
  ['server', serverPlace],
] as const) {
  t.test(`a process that ships a broken migration, ${engine}`, async (t) => {
    const { env, ask } = await makePlace(t)
    const refused = await shipping(broken, async () => {
      const process = startPromptsync(t, root, { env })
      t.strictSame(await process.exited, { code: 1, signal: null }, 'exits with 1')
      return process
    })
    t.match(refused.stderr(), /9999_broken.*no_such_table/, 'says what failed')
    t.notMatch(refused.stderr(), /\n\s+at /, 'without a stack')
    t.match(refused.stderr(), /To repair/, 'and how to repair it')
    t.equal(refused.stdout(), '')
    const [left] = await ask(
      `SELECT to_regclass('half_done') IS NULL AND to_regclass('never') IS NULL AS nothing,
        ARRAY(SELECT migration_name::text FROM _prisma_migrations WHERE finished_at IS NOT NULL ORDER BY 1) AS applied`,
    )
    t.same(left, { nothing: true, applied: known }, 'nothing of it stays, and it is not recorded as applied')

    const repair = /^\s*(DELETE FROM _prisma_migrations.*;)$/m.exec(refused.stderr())?.[1]
    t.ok(repair, refused.stderr())
    await ask(repair ?? '')
    const repaired = await servePromptsync(t, root, { env })
    t.equal((await fetch(`${repaired.url}/readyz`)).status, 200, 'after the repair it serves')
    repaired.child.kill('SIGTERM')
    t.equal((await repaired.exited).code, 0)
  })

  t.test(`a process that finds the schema of a newer one, ${engine}`, async (t) => {
    const { env } = await makePlace(t)
    await shipping(newer, async () => {
      const migrating = startPromptsync(t, root, { env, args: ['migrate'] })
      t.equal((await migrating.exited).code, 0, migrating.stderr())
      t.match(migrating.stdout(), /9998_newer/)
    })
    const older = startPromptsync(t, root, { env })
    t.strictSame(await older.exited, { code: 1, signal: null }, 'exits with 1')
    t.match(older.stderr(), /9998_newer.*newer version/s, 'and says why')
    t.equal(older.stderr().trim().split('\n').length, 1, 'in one line')
  })
}
