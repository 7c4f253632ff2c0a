import { setTimeout as delay } from 'node:timers/promises'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { CheckedKey, Scope } from '../../lib/access.js'
import type { ProjectRow } from '../../lib/pointers.js'
import { type HeldProject, heldBySlug } from '../../lib/read-cache.js'
import { databaseAway, isAway, loadOnce, readDatabase } from './database.service.js'
import { confirm, confirmWaitMs, hold, holdShared, outdate, refresh } from './held-projects.service.js'
import { type FoundRow, keepFound, readAllValues } from './plans.service.js'
import { findSharedPointers } from './shared.service.js'
import { readAll, readEpochs } from './statements.service.js'

/** A key is believed for this long; revoked elsewhere, it stops within the 10 s that are promised. */
export const keyRecheckMs = 8_000

/**
 * What a request is about: a project by slug or id, or by neither, for the key's own or `default`; and the prompt it will
 * ask for, if it does, which is only looked at where there is something to read.
 */
export type Wanted = { slug: string | null; id: string | null; prompt: () => { name: string; ref: string } | null }

/** A key as the statements of the read path answer it; the hash is in hex. */
export type KeyRow = {
  hash: string
  id: string
  name: string
  scopes: Scope[]
  projectId: string | null
  expiresAt: string | null
  revokedAt: string | null
}

/** Whether an error says that the database could not be asked. */
export function isUnavailable(error: unknown): boolean {
  return isAway(error) || (error instanceof AppError && ['database.unavailable', 'read.busy'].includes(error.code))
}

/** What is known already is not waited for any longer. */
export async function soon<T>(work: Promise<T>): Promise<T> {
  const waiting = new AbortController()
  const late = delay(confirmWaitMs, undefined, { signal: waiting.signal, ref: false }).then(
    () => Promise.reject(databaseAway()),
    () => work,
  )
  try {
    return await Promise.race([work, late])
  } finally {
    waiting.abort()
  }
}

function toCheckedKey({ id, name, scopes, projectId, expiresAt, revokedAt }: KeyRow, checkedAtMs: number): CheckedKey {
  return {
    actor: { keyId: id, name, scopes, projectId: projectId === null ? null : BigInt(projectId), isConfirmed: true },
    expiresAt: expiresAt === null ? null : new Date(expiresAt),
    revokedAt: revokedAt === null ? null : new Date(revokedAt),
    checkedAtMs,
  }
}

/**
 * Keeps a key as a query read it that began at `startedAtMs`, unless one that began later has told of it. A good one is not
 * kept if any was revoked since: it may be this one, of which nobody's memory could tell. A revoked one stays so.
 */
export function keepKey({ cache, keys }: Deps, row: KeyRow, startedAtMs: number, revocations: number): CheckedKey {
  const read = toCheckedKey(row, startedAtMs)
  const isOvertaken = read.revokedAt === null && cache.revocations !== revocations
  if (!isOvertaken && isNewest(keys.peek(row.hash), startedAtMs)) keys.set(row.hash, read)
  return read
}

/** A key that a query did not find is not believed any more: the database was restored from before it was made. */
export function forgetKey({ keys }: Deps, hash: string, startedAtMs: number): void {
  if (isNewest(keys.peek(hash), startedAtMs)) keys.delete(hash)
}

function isNewest(known: CheckedKey | undefined, startedAtMs: number): boolean {
  return known === undefined || known.checkedAtMs <= startedAtMs
}

/** Reads one key again; null where there is none any more. */
export async function rereadKey(deps: Deps, hash: string): Promise<CheckedKey | null> {
  const { revocations } = deps.cache
  return loadOnce(deps, `key ${revocations} ${hash}`, async () => {
    const startedAtMs = deps.elapsed()
    const values = [[], [Buffer.from(hash, 'hex')]]
    const answer = await readDatabase<{ keys: KeyRow[] }>(deps, readEpochs, values, 'confirmation')
    const [row] = answer?.keys ?? []
    if (row) return keepKey(deps, row, startedAtMs, revocations)
    forgetKey(deps, hash, startedAtMs)
    return null
  })
}

type Cold = Wanted & { hash: string | null }

/**
 * Reads key, project, pointers and prompt in one statement, each where it is asked for, and keeps them all. What is not
 * there is null. Rejects with `database.unavailable`.
 */
export async function coldRead(deps: Deps, cold: Cold): Promise<{ key: CheckedKey | null; held: HeldProject | null }> {
  const { hash, slug, id } = cold
  const prompt = cold.prompt()
  const known = knownMissing(deps, cold)
  if (known) return known
  // Who asks after a write does not wait for a read that began before it.
  const { changes, revocations } = deps.cache
  const what = `cold ${changes} ${revocations} ${hash} ${slug} ${id} ${prompt?.ref} ${prompt?.name}`
  return loadOnce(deps, what, async () => {
    const startedAtMs = deps.elapsed()
    const bytes = hash === null ? null : Buffer.from(hash, 'hex')
    const values = readAllValues({ hash: bytes, slug, id }, null, prompt)
    const answer = await readDatabase<{ key: KeyRow | null; project: ProjectRow | null; found: FoundRow | null }>(
      deps,
      readAll,
      values,
    )
    const isOvertaken = deps.cache.changes !== changes
    const key = answer?.key ? keepKey(deps, answer.key, startedAtMs, revocations) : null
    if (hash !== null && !key) deps.cache.absent.set(`key ${hash}`, true)
    const row = answer?.project ?? null
    const held = row && (await adoptProject(deps, row, startedAtMs, isOvertaken ? 'overtaken' : 'current'))
    if (slug !== null && !held && !isOvertaken) deps.cache.absent.set(`slug ${slug}`, true)
    if (prompt && answer?.found && held?.pointers.token === row?.token && held)
      keepFound(deps, held.pointers, prompt, answer.found)
    return { key, held }
  })
}

/** A scan of keys or slugs is answered from memory, for a moment each. */
function knownMissing({ cache }: Deps, { hash, slug }: Cold): { key: null; held: null } | null {
  const isMissing = hash === null ? slug !== null && cache.absent.has(`slug ${slug}`) : cache.absent.has(`key ${hash}`)
  return isMissing ? { key: null, held: null } : null
}

/**
 * Of a project that is held already, a whole reading tells no more than that it is to be refreshed. So it is with one that
 * something was written after: what was written may have been to this project.
 */
async function adoptProject(
  deps: Deps,
  row: ProjectRow,
  startedAtMs: number,
  reading: 'current' | 'overtaken',
): Promise<HeldProject | null> {
  if (row.kind === 'same') return null
  const known = deps.cache.projects.get(row.id)
  const held = known ?? hold(deps, row, startedAtMs)
  if (!known && reading === 'overtaken') outdate(deps, held, 'us')
  if (held.pointers.token !== row.token || held.outdated !== null) await refresh(deps, held)
  return held
}

/** The project of a slug or id as it is held; null where there is none, or none any more. Rejects where it cannot be told. */
export function findHeld(deps: Deps, wanted: Wanted): HeldProject | null | Promise<HeldProject | null> {
  const held = findKnown(deps, wanted)
  if (held) return held.pointers.isDeleted ? findRevived(deps, held, wanted) : held
  return loadHeld(deps, wanted)
}

function findKnown({ cache }: Deps, { id, slug }: Wanted): HeldProject | undefined {
  return id === null ? heldBySlug(cache, slug ?? 'default') : cache.projects.get(id)
}

/** A project that was deleted may be there again, and another one may have its slug in a database that was restored. */
async function findRevived(deps: Deps, held: HeldProject, wanted: Wanted): Promise<HeldProject | null> {
  await confirm(deps, held)
  if (findKnown(deps, wanted) !== held) return loadHeld(deps, wanted)
  return held.pointers.isDeleted ? null : held
}

async function loadHeld(deps: Deps, wanted: Wanted): Promise<HeldProject | null> {
  try {
    const { held } = await coldRead(deps, { hash: null, ...wanted })
    return held?.pointers.isDeleted ? null : held
  } catch (error) {
    if (!isUnavailable(error)) throw error
    const { id, slug } = wanted
    const pointers = await findSharedPointers(deps, id === null ? { slug: slug ?? 'default' } : { id })
    if (!pointers || pointers.isDeleted) throw error
    // Whatever was read meanwhile is no older.
    return deps.cache.projects.get(`${pointers.project.id}`) ?? holdShared(deps, pointers)
  }
}
