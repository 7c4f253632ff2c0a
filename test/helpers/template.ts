import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { readMigrations } from '../../src/database/migrate.js'
import { packageRoot } from '../../src/lib/package-root.js'

/** Changes with the migrations, so that an old template is never used for a new schema. */
async function fingerprint(): Promise<string> {
  const { migrations } = await readMigrations()
  return createHash('sha256').update(JSON.stringify(migrations)).digest('hex').slice(0, 16)
}

/** The tar of a migrated embedded data directory, as the program itself makes it. */
export async function templateFile(): Promise<string> {
  return cacheFile('template')
}

/** The same database with a small log and few buffers, which a copy in memory takes half the time to unpack and open. */
export async function memoryTemplateFile(): Promise<string> {
  return cacheFile('memory-template')
}

async function cacheFile(name: string): Promise<string> {
  return join(packageRoot, 'test', '.cache', `${name}-${await fingerprint()}.tar`)
}

/** The name of a migrated database on the test server. */
export async function templateDatabase(): Promise<string> {
  return `promptsync_template_${await fingerprint()}`
}
