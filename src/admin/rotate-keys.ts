import type { Deps } from '../deps.js'
import { AppError } from '../errors.js'
import { recordAudit } from '../features/audit/audit.service.js'
import { secretSubject } from '../features/sources/source-rows.service.js'
import { systemActor } from '../lib/access.js'
import type { EncryptedSecret, Keyring } from '../lib/encryption.js'
import { AdminError } from './admin-error.js'

/** How many secrets were encrypted anew, were so already, and could not be. */
export type Rotation = { rotated: number; current: number; failed: number }

/** Sources are looked up so many at a time, and changed one by one. */
const sourcesAtOnce = 20

/**
 * Encrypts the secrets of all sources by the first key. Each source is a transaction of its own, so that a run that was
 * interrupted is gone on with by the next one, and instances go on serving. A secret that cannot be decrypted stays as it is
 * and is told to `onFailed`, in words without its value. Throws `AdminError`.
 */
export async function rotateKeys(deps: Pick<Deps, 'db' | 'keyring'>, onFailed: (what: string) => void): Promise<Rotation> {
  if (!deps.keyring.canEncrypt) {
    throw new AdminError('PROMPTSYNC_ENCRYPTION_KEYS is not set. Give the new key, then a comma and the ones before it.')
  }
  const sum: Rotation = { rotated: 0, current: 0, failed: 0 }
  for (let after = 0n; ; ) {
    const ids = await nextSources(deps, after)
    for (const id of ids) {
      const { rotated, current, failures } = await rotateSource(deps, id)
      sum.rotated += rotated
      sum.current += current
      sum.failed += failures.length
      for (const failure of failures) onFailed(failure)
    }
    if (ids.length < sourcesAtOnce) return sum
    after = ids.at(-1) ?? after
  }
}

async function nextSources({ db }: Pick<Deps, 'db'>, after: bigint): Promise<bigint[]> {
  const rows = await db.$queryRaw<{ id: bigint }[]>`
    SELECT id FROM sources WHERE id > ${after} AND secrets::text <> '{}' ORDER BY id LIMIT ${sourcesAtOnce}`
  return rows.map(({ id }) => id)
}

type Secrets = Record<string, EncryptedSecret>
type Rotated = { secrets: Secrets; rotated: string[]; failures: string[] }
type Owner = { uid: string; name: string; project: { slug: string } }

async function rotateSource({ db, keyring }: Pick<Deps, 'db' | 'keyring'>, id: bigint) {
  return db.$transaction(async (tx) => {
    // Whoever is changing its settings comes first: what they stored is what is read here.
    await tx.$queryRaw`SELECT 1 FROM sources WHERE id = ${id} FOR UPDATE`
    const row = await tx.source.findUnique({ where: { id }, include: { project: { select: { slug: true } } } })
    // It was removed meanwhile.
    if (!row) return { rotated: 0, current: 0, failures: [] }
    const before = row.secrets as Secrets
    const { secrets, rotated, failures } = encryptAnew(keyring, row, before)
    if (rotated.length > 0) {
      await tx.source.update({ where: { id }, data: { secrets }, select: { id: true } })
      await recordAudit(
        tx,
        { actor: systemActor('command line'), requestId: 'admin rotate-keys' },
        { project: row.project.slug, action: 'source.rotate', target: row.name, after: { fields: rotated } },
      )
    }
    const current = Object.keys(before).length - rotated.length - failures.length
    return { rotated: rotated.length, current, failures }
  })
}

function encryptAnew(keyring: Keyring, owner: Owner, before: Secrets): Rotated {
  const done: Rotated = { secrets: { ...before }, rotated: [], failures: [] }
  for (const [field, secret] of Object.entries(before)) {
    if (keyring.isCurrent(secret)) continue
    const subject = secretSubject(owner, field)
    try {
      done.secrets[field] = keyring.encrypt(keyring.decrypt(secret, subject), subject)
      done.rotated.push(field)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      done.failures.push(
        error.message.replace(subject, `"${field}" of source "${owner.name}" in project "${owner.project.slug}"`),
      )
    }
  }
  return done
}
