import type { Connection } from '../database/connect.js'
import { appliedMigrations, readMigrations } from '../database/migrate.js'
import { AdminError } from './admin-error.js'

/** The last migration of a database that has this program's schema; commands do not migrate what a service runs on. Throws `AdminError`. */
export async function requireCurrent(connection: Connection): Promise<string> {
  const applied = new Set((await appliedMigrations(connection)).map(({ name }) => name))
  const { migrations } = await readMigrations()
  const missing = migrations.find(({ name }) => !applied.has(name))
  const last = migrations.at(-1)
  if (last && !missing && applied.size === migrations.length) return last.name
  const remedy = 'Use the version of promptsync that serves this database.'
  if (missing) throw new AdminError(`The database lacks the migration ${missing.name}. ${remedy}`)
  throw new AdminError(`The database is of a newer version than this program. ${remedy}`)
}
