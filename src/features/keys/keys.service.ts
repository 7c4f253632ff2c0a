import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Actor, CheckedKey, Project, Scope } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { PageQuery } from '../../lib/schemas.js'
import { createSecret, hashHex, hashSecret } from '../../lib/secrets.js'
import { recordAudit } from '../audit/audit.service.js'
import { findProject, queued, transact } from '../projects/projects.service.js'
import { coldRead, isUnavailable, keyRecheckMs, rereadKey, soon, type Wanted } from '../reads/access.service.js'
import { noteRevoked } from '../reads/changes.service.js'
import { whileThere, writeRefused } from '../reads/database.service.js'
import type { CreateKey, Key, NewKey } from './keys.schema.js'

const maxSecretLength = 512

/** While the database is away, a key that was good this long ago keeps its reads; its expiry still holds. */
const graceMs = 60 * 60 * 1_000

/** The actor of a key that was sent, at once where it was read a moment ago. Throws `auth.*` for one that is not good. */
export function authenticate(deps: Deps, secret: string, wanted: Wanted): Actor | Promise<Actor> {
  const now = deps.now()
  const hash = hashHex(secret.slice(0, maxSecretLength))
  const known = deps.keys.get(hash)
  if (known && deps.elapsed() - known.checkedAtMs < keyRecheckMs) return admitKey(deps, known, now, 'confirmed')
  return checkKey(deps, hash, known, wanted)
}

async function checkKey(deps: Deps, hash: string, known: CheckedKey | undefined, wanted: Wanted): Promise<Actor> {
  try {
    return admitKey(deps, await readKey(deps, hash, known, wanted), deps.now(), 'confirmed')
  } catch (error) {
    const age = known ? deps.elapsed() - known.checkedAtMs : Number.POSITIVE_INFINITY
    if (known && age < graceMs && isUnavailable(error)) return admitKey(deps, known, deps.now(), 'unconfirmed')
    throw error
  }
}

/** A key that is known is waited for no longer than for the confirmation of a project. */
async function readKey(deps: Deps, hash: string, known: CheckedKey | undefined, wanted: Wanted): Promise<CheckedKey> {
  const key = known ? await soon(rereadKey(deps, hash)) : (await coldRead(deps, { hash, ...wanted })).key
  if (key) return key
  throw new AppError('auth.invalid', 'The key is not known here. Check that it is complete and meant for this server.')
}

function admitKey(deps: Deps, key: CheckedKey, now: Date, check: 'confirmed' | 'unconfirmed'): Actor {
  if (key.revokedAt) throw new AppError('auth.revoked', `Key "${key.actor.name}" was revoked. Use another key.`)
  if (key.expiresAt && key.expiresAt <= now)
    throw new AppError('auth.expired', `Key "${key.actor.name}" has expired. Use another key.`)
  if (key.actor.keyId) deps.keyUses.set(key.actor.keyId, now)
  return check === 'confirmed' ? key.actor : { ...key.actor, isConfirmed: false }
}

/** Makes a key; its secret is in this answer and nowhere else. */
export async function createKey(deps: Deps, by: { actor: Actor; requestId: string }, input: CreateKey): Promise<NewKey> {
  const project = await whileThere(deps, projectOfNewKey(deps, by.actor, input.project ?? null), writeRefused)
  const secret = createSecret()
  const write = async (tx: Db) => {
    const row = await tx.apiKey.create({
      data: {
        name: input.name,
        projectId: project?.id ?? null,
        scopes: [...new Set(input.scopes)],
        expiresAt: input.expiresAt ? new Date(input.expiresAt) : null,
        secretHash: hashSecret(secret),
      },
    })
    // The row just made keeps the project from being deleted; that it was deleted just before shows now.
    if (project && !(await findProject({ db: tx }, { id: project.id }))) throw unknownProject(project.slug)
    const key = toKey({ ...row, project })
    await recordAudit(tx, by, { project: key.project, action: 'key.create', target: key.id, after: key })
    return { ...key, secret }
  }
  return project ? queued(deps.writes, project.slug, () => transact(deps, write)) : transact(deps, write)
}

async function projectOfNewKey(deps: Deps, actor: Actor, slug: string | null): Promise<Project | null> {
  if (slug === null) {
    if (actor.projectId === null) return null
    throw new AppError(
      'scope.global',
      'Without "project" the key would be global, which only a global admin can make. Name your project.',
    )
  }
  const project = await findProject(deps, { slug })
  if (!project || (actor.projectId !== null && actor.projectId !== project.id)) {
    throw unknownProject(slug)
  }
  return project
}

function unknownProject(slug: string): AppError {
  return new AppError('project.not_found', `No project "${slug}" is known to this key.`)
}

const keyList = pagedList<[createdAt: string, id: string]>('keys', ['date', 'uuid'])

/** Keys of a project that was deleted before the slug was given anew are for global admins to see. */
export async function listKeys({ db }: Deps, actor: Actor, project: Project | null, query: PageQuery) {
  const position = keyList.position(query.cursor)
  const after = position && { createdAt: new Date(position[0]), id: position[1] }
  const rows = await db.apiKey.findMany({
    where: {
      ...(project ? { projectId: project.id } : {}),
      ...(project && actor.projectId !== null ? { createdAt: { gte: project.createdAt } } : {}),
      ...(after ? { OR: [{ createdAt: { gt: after.createdAt } }, { createdAt: after.createdAt, id: { gt: after.id } }] } : {}),
    },
    include: { project: { select: { slug: true } } },
    orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
    take: query.limit + 1,
  })
  return keyList.page(rows, query.limit, (row) => [row.createdAt.toISOString(), row.id], toKey)
}

/** Revokes a key at once here, within 1 s elsewhere by way of Redis, and within 10 s without. A key of another project is not found. */
export async function revokeKey(deps: Deps, by: { actor: Actor; requestId: string }, id: string): Promise<Key> {
  const revoked = await transact(deps, async (tx) => {
    const row = await tx.apiKey.findUnique({ where: { id }, include: { project: { select: { slug: true, createdAt: true } } } })
    const isForeign = by.actor.projectId !== null && row?.projectId !== by.actor.projectId
    const isEarlier = by.actor.projectId !== null && row?.project && row.createdAt < row.project.createdAt
    if (!row || isForeign || isEarlier) {
      throw new AppError('key.not_found', `No key has the id ${id}. See GET /keys.`)
    }
    if (row.revokedAt) return { key: toKey(row), hash: row.secretHash }
    const after = await tx.apiKey.update({
      where: { id },
      data: { revokedAt: deps.now() },
      include: { project: { select: { slug: true } } },
    })
    await recordAudit(tx, by, {
      project: row.project?.slug ?? null,
      action: 'key.revoke',
      target: id,
      before: toKey(row),
      after: toKey(after),
    })
    return { key: toKey(after), hash: row.secretHash }
  })
  noteRevoked(deps, Buffer.from(revoked.hash).toString('hex'))
  return revoked.key
}

/** Writes the last uses noted since the last call, in one statement. */
export async function flushKeyUses({ db, keyUses }: Deps): Promise<void> {
  if (keyUses.size === 0) return
  const noted = [...keyUses]
  keyUses.clear()
  const uses = JSON.stringify(noted.map(([id, at]) => ({ id, at: at.toISOString() })))
  try {
    await db.$executeRaw`
      UPDATE api_keys SET last_used_at = used.at
      FROM json_to_recordset(${uses}::json) AS used(id uuid, at timestamptz)
      WHERE api_keys.id = used.id`
  } catch (error) {
    for (const [id, at] of noted) if (!keyUses.has(id)) keyUses.set(id, at)
    throw error
  }
}

type KeyRow = {
  id: string
  name: string
  scopes: string[]
  createdAt: Date
  expiresAt: Date | null
  revokedAt: Date | null
  lastUsedAt: Date | null
  project: { slug: string } | null
}

function toKey(row: KeyRow): Key {
  return {
    id: row.id,
    name: row.name,
    project: row.project?.slug ?? null,
    scopes: row.scopes as Scope[],
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}
