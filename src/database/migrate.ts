import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from '../lib/package-root.js'
import type { Connection } from './connect.js'
import { applyMigrations, type Migration } from './schema-engine.js'

/** A migration cannot be applied; `message` says what was found and how to repair it. */
export class MigrationFailed extends Error {}

/** The text of `prisma/schema.prisma` and its migrations, oldest first. */
export async function readMigrations(): Promise<{ schema: string; migrations: Migration[] }> {
  const folder = join(packageRoot, 'prisma', 'migrations')
  const names = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  const migrations = await Promise.all(
    names.sort().map(async (name) => ({ name, sql: await readFile(join(folder, name, 'migration.sql'), 'utf8') })),
  )
  return { schema: await readFile(join(packageRoot, 'prisma', 'schema.prisma'), 'utf8'), migrations }
}

/**
 * Brings the database to this program's schema, one process at a time; answers the names applied. With `upTo` it goes no
 * further than that migration.
 */
export async function migrate(connection: Connection, upTo?: string): Promise<string[]> {
  const { schema, migrations: all } = await readMigrations()
  const migrations = all.filter(({ name }) => upTo === undefined || name <= upTo)
  return connection.exclusively(async () => {
    await refuseUnfit(connection, migrations)
    let said: Error | undefined
    const remember = (error: Error) => {
      said = error
    }
    try {
      return await applyMigrations(schema, migrations, connection.migrationFactory(remember))
    } catch (error) {
      const { message } = said ?? (error as Error)
      const unfinished = (await appliedMigrations(connection)).find(({ finished }) => !finished)
      const which = unfinished ? `Migration ${unfinished.name}` : 'A migration'
      throw new MigrationFailed(`${which} failed and changed nothing: ${message}.\n${repair}`, { cause: error })
    }
  })
}

const repair =
  'To repair: correct the cause, then remove its mark with\n' +
  '  DELETE FROM _prisma_migrations WHERE finished_at IS NULL;\n' +
  'and run `promptsync migrate` again.'

/** The names of the migrations that the database has had, oldest first; none for a database that is new. */
export async function appliedMigrations(connection: Connection): Promise<{ name: string; finished: boolean }[]> {
  const [table] = await connection.client.$queryRaw<{ found: boolean }[]>`
    SELECT to_regclass('_prisma_migrations') IS NOT NULL AS found`
  if (!table?.found) return []
  return connection.client.$queryRaw<{ name: string; finished: boolean }[]>`
    SELECT migration_name AS name, finished_at IS NOT NULL AS finished FROM _prisma_migrations
    WHERE rolled_back_at IS NULL ORDER BY migration_name`
}

/** Refuses a database that a newer program has migrated, or that an earlier failure has marked. */
async function refuseUnfit(connection: Connection, migrations: Migration[]): Promise<void> {
  const applied = await appliedMigrations(connection)
  const unfinished = applied.find(({ finished }) => !finished)
  if (unfinished) throw new MigrationFailed(`Migration ${unfinished.name} was begun and not finished.\n${repair}`)
  const known = new Set(migrations.map(({ name }) => name))
  const newer = applied.find(({ name }) => !known.has(name))
  if (newer) {
    throw new MigrationFailed(
      `The database has migration ${newer.name}, which this version of promptsync does not know. Run the newer version.`,
    )
  }
}
