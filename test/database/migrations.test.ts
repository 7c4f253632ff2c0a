import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { type Connection, connectPostgres, embeddedConnection } from '../../src/database/connect.js'
import { MigrationFailed, migrate, readMigrations } from '../../src/database/migrate.js'
import { applyMigrations, diffToSchema, type Migration } from '../../src/database/schema-engine.js'
import { createPostgresDatabase, isPostgres, openDatabase, type Teardown } from '../helpers/service.js'

const known = await readMigrations()

/** Leaves a migrated copy as a new database is: making one of the embedded kind takes seconds. */
async function empty({ client }: Connection): Promise<void> {
  await client.$executeRawUnsafe('DROP SCHEMA public CASCADE')
  await client.$executeRawUnsafe('CREATE SCHEMA public')
}

/** A database without any table, on the engine the suite runs on. */
async function openEmptyDatabase(t: Teardown): Promise<Connection> {
  const connection = await openDatabase(t)
  await empty(connection)
  return connection
}

type Applied = { name: string; finished: boolean; rolledBack: boolean }

async function appliedTo({ client }: Connection): Promise<Applied[]> {
  return client.$queryRaw<Applied[]>`
    SELECT migration_name AS name, finished_at IS NOT NULL AS finished, rolled_back_at IS NOT NULL AS "rolledBack"
    FROM _prisma_migrations ORDER BY migration_name`
}

async function tablesOf({ client }: Connection): Promise<string[]> {
  const rows = await client.$queryRaw<{ name: string }[]>`
    SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`
  return rows.map(({ name }) => name)
}

async function errorOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error('It did not fail.'),
    (error: Error) => error,
  )
}

const apply = (connection: Connection, migrations: Migration[]) =>
  applyMigrations(known.schema, migrations, connection.migrationFactory())

const broken: Migration = {
  name: '9999_broken',
  sql: 'CREATE TABLE half_done (id int);\nINSERT INTO half_done VALUES (1);\nALTER TABLE no_such_table ADD COLUMN a int;\nCREATE TABLE never (id int);\n',
}

t.test('an empty database gets every migration, and a second run applies nothing and loses nothing', async (t) => {
  const connection = await openEmptyDatabase(t)
  t.same(await tablesOf(connection), [])
  const names = known.migrations.map(({ name }) => name)
  t.same(await migrate(connection), names)
  await connection.client.project.create({ data: { slug: 'acme' } })
  t.same(await migrate(connection), [])
  t.same(
    await appliedTo(connection),
    names.map((name) => ({ name, finished: true, rolledBack: false })),
  )
  t.equal(await connection.client.project.count({ where: { slug: 'acme' } }), 1)
})

t.test('the migrations and schema.prisma agree', async (t) => {
  // Prisma's engine can compare on the embedded engine only; the migrations are the same on both.
  const connection = isPostgres ? embeddedConnection(await PGlite.create()) : await openDatabase(t)
  if (isPostgres) t.teardown(() => connection.close())
  await migrate(connection)
  t.equal(await diffToSchema(known.schema, connection.migrationFactory(), 'database'), '-- This is an empty migration.')
  const drifted = known.schema.replace('model Project {', 'model Project {\n  added Int?')
  t.match(
    await diffToSchema(drifted, connection.migrationFactory(), 'database'),
    /ALTER TABLE "projects" ADD COLUMN\s+"added" INTEGER/,
  )
})

t.test('processes that migrate one database at the same moment all succeed, and each migration runs once', async (t) => {
  const connections = await openFive(t)
  const applied = await Promise.all(connections.map((connection) => migrate(connection)))
  const names = known.migrations.map(({ name }) => name)
  t.same(applied.flat(), names, 'one of them did it')
  t.same(
    await appliedTo(connections[0] as Connection),
    names.map((name) => ({ name, finished: true, rolledBack: false })),
  )
})

/** Five connections to one empty database; the embedded one belongs to a single process, so it is the same five times. */
async function openFive(t: Teardown): Promise<Connection[]> {
  if (!isPostgres) return Array<Connection>(5).fill(await openEmptyDatabase(t))
  const url = await createPostgresDatabase(t)
  const connections = await Promise.all(Array.from({ length: 5 }, () => connectPostgres(url)))
  t.teardown(() => Promise.all(connections.map((connection) => connection.close())))
  await empty(connections[0] as Connection)
  return connections
}

t.test('a database of a newer version is refused by the name of its migration, and stays as it is', async (t) => {
  const connection = await openDatabase(t)
  const newer: Migration = { name: '9998_from_the_future', sql: 'CREATE TABLE future (id int);' }
  t.same(await apply(connection, [...known.migrations, newer]), [newer.name])
  const before = await tablesOf(connection)
  const error = await errorOf(migrate(connection))
  t.ok(error instanceof MigrationFailed, String(error))
  t.match(error.message, '9998_from_the_future')
  t.match(error.message, /newer version/)
  t.same(await tablesOf(connection), before)
})

t.test('of a migration that fails nothing stays, it is not recorded as finished, and none after it runs', async (t) => {
  const connection = await openDatabase(t)
  const before = await tablesOf(connection)
  const after: Migration = { name: '9999_z_after', sql: 'CREATE TABLE after_it (id int);' }
  await t.rejects(apply(connection, [...known.migrations, broken, after]), { message: /9999_broken|no_such_table/ })
  t.same(await tablesOf(connection), before)
  const record = (await appliedTo(connection)).find(({ name }) => name === broken.name)
  t.notOk(record?.finished)
})

t.test('after a failed migration the next start is refused with the repair, which works', async (t) => {
  const connection = await openDatabase(t)
  await t.rejects(apply(connection, [...known.migrations, broken]))
  const error = await errorOf(migrate(connection))
  t.ok(error instanceof MigrationFailed, String(error))
  t.match(error.message, broken.name)
  const repair = /^\s*(DELETE FROM _prisma_migrations.*;)$/m.exec(error.message)?.[1]
  t.ok(repair, error.message)
  await connection.client.$executeRawUnsafe(repair ?? '')
  t.same(await migrate(connection), [])
  t.same(
    (await appliedTo(connection)).map(({ name }) => name),
    known.migrations.map(({ name }) => name),
  )
})

t.test('a script runs whole: function bodies keep their semicolons', async (t) => {
  const connection = await openDatabase(t)
  const scripted: Migration = {
    name: '9999_function',
    sql: `CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN n := n * 2; RETURN n; END; $$;\nCREATE TABLE "a;b" (id int DEFAULT twice(2));\n-- a comment; at the end`,
  }
  t.same(await apply(connection, [...known.migrations, scripted]), [scripted.name])
  const [row] = await connection.client.$queryRaw<{ twice: number }[]>`SELECT twice(21)`
  t.equal(row?.twice, 42)
  t.ok((await tablesOf(connection)).includes('a;b'))
})

t.test('a database with tables of others is not taken over by mistake', async (t) => {
  const connection = await openEmptyDatabase(t)
  await connection.client.$executeRawUnsafe('CREATE TABLE projects (id int)')
  const error = await errorOf(migrate(connection))
  t.ok(error instanceof MigrationFailed, String(error))
  t.same(
    (await tablesOf(connection)).filter((name) => name !== '_prisma_migrations'),
    ['projects'],
  )
})
