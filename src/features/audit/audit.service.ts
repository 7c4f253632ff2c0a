import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import type { Actor } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { AuditEntry, AuditQuery } from './audit.schema.js'

/** What changed. Values are what answers show, never a secret. */
export type Change = {
  project: string | null
  action: string
  target: string
  before?: object | null
  after?: object | null
}

/** Writes the entry of a mutation, in its transaction: both happen or neither. */
export async function recordAudit(db: Db, by: { actor: Actor; requestId: string }, change: Change): Promise<void> {
  await db.auditEntry.create({
    data: {
      project: change.project,
      actor: by.actor.name,
      keyId: by.actor.keyId,
      action: change.action,
      target: change.target,
      requestId: by.requestId,
      ...(change.before ? { before: change.before } : {}),
      ...(change.after ? { after: change.after } : {}),
    },
    select: { id: true },
  })
}

const auditList = pagedList<[id: string]>('audit', ['id'])

/** Newest first. `project` null shows the entries of all projects and of the installation. */
export async function listAudit({ db }: Pick<Deps, 'db'>, project: string | null, query: AuditQuery) {
  const position = auditList.position(query.cursor)
  const rows = await db.auditEntry.findMany({
    where: {
      ...(project === null ? {} : { project }),
      ...(query.action ? { action: query.action } : {}),
      ...(query.actor ? { actor: query.actor } : {}),
      ...(query.target ? { target: query.target } : {}),
      ...(position ? { id: { lt: BigInt(position[0]) } } : {}),
    },
    orderBy: { id: 'desc' },
    take: query.limit + 1,
  })
  return auditList.page(
    rows,
    query.limit,
    (row) => [row.id.toString()],
    (row): AuditEntry => ({
      id: row.id.toString(),
      project: row.project,
      actor: row.actor,
      keyId: row.keyId,
      action: row.action,
      target: row.target,
      requestId: row.requestId,
      before: row.before as AuditEntry['before'],
      after: row.after as AuditEntry['after'],
      createdAt: row.createdAt.toISOString(),
    }),
  )
}
