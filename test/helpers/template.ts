import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { readMigrations } from '../../src/database/migrate.js'
import { packageRoot } from '../../src/lib/package-root.js'

/** Changes with the migrations, so that an old template is never used for a new schema. */
async function fingerprint(): Promise<string> {
  const { migrations } = await readMigrations()
  return createHash('sha256').update(JSON.stringify(migrations)).digest('hex').slice(0, 16)
}

/** The tar of a migrated embedded data directory. */
export async function templateFile(): Promise<string> {
  return join(packageRoot, 'test', '.cache', `template-${await fingerprint()}.tar`)
}

/** The name of a migrated database on the test server. */
export async function templateDatabase(): Promise<string> {
  return `promptsync_template_${await fingerprint()}`
}
