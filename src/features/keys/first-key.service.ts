import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { systemActor } from '../../lib/access.js'
import { createSecret, hashSecret } from '../../lib/secrets.js'
import { recordAudit } from '../audit/audit.service.js'
import { transact } from '../projects/projects.service.js'

/** The file that holds a first key where no terminal could show it. */
export const keyFileName = 'admin-key'

/** How a first key reached its owner: shown by the caller of `prepareDatabase`, or in a file. */
export type FirstKey = { secret: string } | { file: string } | null

/** No key could be handed over, so none was made; `message` names the variable that helps. */
export class FirstKeyFailed extends Error {}

const system = { actor: systemActor('system'), requestId: 'start' }

/**
 * Makes what every database needs before it serves: the project `default`, the key of PROMPTSYNC_ADMIN_KEY, and, where
 * there is no key at all, a first one. Ten instances may do so at once.
 */
export async function prepareDatabase(deps: Deps, { terminal }: { terminal: boolean }): Promise<FirstKey> {
  return deps.connection.exclusively(() =>
    transact(deps, async (tx) => {
      await makeDefaultProject(deps, tx)
      await followEnvironmentKey(deps, tx)
      return makeFirstKey(deps, tx, terminal)
    }),
  )
}

async function makeDefaultProject(deps: Deps, tx: Db): Promise<void> {
  if (await tx.project.findUnique({ where: { slug: 'default' } })) return
  const publicRead = deps.connection.kind === 'embedded'
  await tx.project.create({ data: { slug: 'default', publicRead } })
  await recordAudit(tx, system, {
    project: 'default',
    action: 'project.create',
    target: 'default',
    after: { slug: 'default', publicRead },
  })
}

/** One row follows the variable: another value or none revokes what it was before. */
async function followEnvironmentKey(deps: Deps, tx: Db): Promise<void> {
  const { adminKey } = deps.config
  const hash = adminKey === undefined ? null : hashSecret(adminKey)
  const stale = await tx.apiKey.findMany({
    where: { origin: 'environment', revokedAt: null, ...(hash ? { NOT: { secretHash: hash } } : {}) },
  })
  for (const { id } of stale) {
    await tx.apiKey.update({ where: { id }, data: { revokedAt: deps.now() } })
    await recordAudit(tx, system, { project: null, action: 'key.revoke', target: id, after: { origin: 'environment' } })
  }
  if (!hash) return
  const known = await tx.apiKey.findUnique({ where: { secretHash: hash } })
  if (known && known.revokedAt === null && known.projectId === null && known.scopes.includes('admin')) return
  const data = {
    name: 'PROMPTSYNC_ADMIN_KEY',
    origin: 'environment',
    projectId: null,
    scopes: ['admin'],
    revokedAt: null,
    expiresAt: null,
  }
  const { id } = known
    ? await tx.apiKey.update({ where: { id: known.id }, data })
    : await tx.apiKey.create({ data: { ...data, secretHash: hash } })
  await recordAudit(tx, system, {
    project: null,
    action: 'key.create',
    target: id,
    after: { name: data.name, scopes: data.scopes },
  })
}

async function makeFirstKey(deps: Deps, tx: Db, terminal: boolean): Promise<FirstKey> {
  // Without a global admin key nobody could ever make one again.
  const usable = {
    revokedAt: null,
    projectId: null,
    scopes: { has: 'admin' },
    OR: [{ expiresAt: null }, { expiresAt: { gt: deps.now() } }],
  }
  if (await tx.apiKey.findFirst({ where: usable, select: { id: true } })) return null
  const secret = createSecret()
  // The file comes before the row, so that a key that counts is never one that nobody has.
  const file = terminal ? null : await writeKeyFile(deps.config.dataDirectory, secret)
  const { id } = await tx.apiKey.create({ data: { name: 'first admin key', scopes: ['admin'], secretHash: hashSecret(secret) } })
  await recordAudit(tx, system, {
    project: null,
    action: 'key.create',
    target: id,
    after: { name: 'first admin key', scopes: ['admin'] },
  })
  return file ? { file } : { secret }
}

async function writeKeyFile(directory: string, secret: string): Promise<string> {
  const file = join(directory, keyFileName)
  const unfinished = `${file}.${process.pid}`
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await writeFile(unfinished, `${secret}\n`, { mode: 0o600, flag: 'wx' })
    await rename(unfinished, file)
    return file
  } catch (cause) {
    // Where the directory cannot exist, neither can the file.
    await rm(unfinished, { force: true }).catch(() => undefined)
    throw new FirstKeyFailed(
      `The database has no key, there is no terminal to show a first one on, and ${directory} cannot be written (${(cause as Error).message}). ` +
        'Set PROMPTSYNC_ADMIN_KEY to a secret of at least 32 characters.',
      { cause },
    )
  }
}
