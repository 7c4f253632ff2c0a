import type { Db } from '../../database/connect.js'
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

/** Writes the entry of a mutation, in its transaction: both happen or neither. `raised` is what it made of a project's epoch. */
export async function recordAudit(
  db: Db,
  by: { actor: Actor; requestId: string },
  change: Change,
  raised?: { epoch: bigint; token: string },
): Promise<void> {
  await db.auditEntry.create({
    data: {
      project: change.project,
      actor: by.actor.name,
      keyId: by.actor.keyId,
      action: change.action,
      target: change.target,
      requestId: by.requestId,
      ...(raised ? { epoch: raised.epoch, epochToken: raised.token } : {}),
      ...(change.before ? { before: change.before } : {}),
      ...(change.after ? { after: change.after } : {}),
    },
    select: { id: true },
  })
}

const auditList = pagedList<[id: string]>('audit', ['id'])

/** Entries read at once while all of them are streamed. */
const streamChunk = 500

type Row = Awaited<ReturnType<typeof readEntries>>[number]

/**
 * Whose entries are asked for, and by whom: no project stands for all of them and the installation. A key bound to a
 * project sees nothing of an earlier one of the slug.
 */
type About = { project: string | null; actor: Actor }

/** A page, newest first. */
export async function listAudit({ db }: { db: Db }, about: About, query: AuditQuery) {
  const position = auditList.position(query.cursor)
  const rows = await readEntries(db, await rangeOf(db, about), query, position && BigInt(position[0]), query.limit + 1)
  return auditList.page(rows, query.limit, (row) => [row.id.toString()], toEntry)
}

/** All matching entries, newest first, as lines of JSON; those made meanwhile are not among them. */
export async function* streamAudit({ db }: { db: Db }, about: About, query: AuditQuery): AsyncGenerator<string> {
  const range = await rangeOf(db, about)
  const position = auditList.position(query.cursor)
  let before = position && BigInt(position[0])
  for (;;) {
    const rows = await readEntries(db, range, query, before, streamChunk)
    if (rows.length > 0) yield rows.map((row) => `${JSON.stringify(toEntry(row))}\n`).join('')
    if (rows.length < streamChunk) return
    before = rows.at(-1)?.id ?? before
  }
}

type Range = { project: string | null; from: bigint }

async function rangeOf(db: Db, { project, actor }: About): Promise<Range> {
  if (project === null || actor.projectId === null) return { project, from: 0n }
  const made = await db.auditEntry.findFirst({
    where: { project, action: 'project.create' },
    orderBy: { id: 'desc' },
    select: { id: true },
  })
  return { project, from: made?.id ?? 0n }
}

async function readEntries(db: Db, { project, from }: Range, query: AuditQuery, before: bigint | null, limit: number) {
  const { action, actor, target, since, until } = query
  return db.auditEntry.findMany({
    where: {
      ...(project === null ? {} : { project }),
      ...(action ? { action } : {}),
      ...(actor ? { actor } : {}),
      ...(target ? { target } : {}),
      ...(since || until
        ? { createdAt: { ...(since ? { gte: new Date(since) } : {}), ...(until ? { lt: new Date(until) } : {}) } }
        : {}),
      id: { gte: from, ...(before === null ? {} : { lt: before }) },
    },
    orderBy: { id: 'desc' },
    take: limit,
  })
}

function toEntry(row: Row): AuditEntry {
  return {
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
  }
}
