import type { Db } from '../../database/connect.js'
import { tables } from '../../database/tables.js'
import type { Deps } from '../../deps.js'
import type { Caller } from '../../lib/access.js'
import { noteErased, noteKeysRevoked } from '../reads/changes.service.js'
import type { DeletedProject } from './projects.schema.js'
import { type LockedProject, recordChange, refuseBoundKey, toProjectAnswer, writeProject } from './projects.service.js'

/** A statement is cut off after a minute, and while one runs the embedded engine answers nobody; each passes what went before. */
const rowsAtOnce = { embedded: 5_000, postgres: 100_000 }
const deletionTimeoutMs = 60 * 60 * 1_000

/**
 * Erases what a project holds and revokes its keys; the row stays as a tombstone with the counters, the epoch and the
 * audit. Only a global admin may. There is no way back but a backup.
 */
export async function deleteProject(deps: Deps, caller: Caller): Promise<DeletedProject> {
  refuseBoundKey(caller.actor, 'delete')
  const erase = async (tx: Db, project: LockedProject) => {
    const deletedAt = deps.now()
    // The stronger lock waits for keys that are being made for the project; keys made after it see the tombstone.
    await tx.$queryRaw`SELECT 1 FROM projects WHERE id = ${project.id} FOR UPDATE`
    await tx.project.update({
      where: { id: project.id },
      data: { deletedAt, updatedAt: deletedAt, name: null, purgeSalt: null, purges: { increment: 1 } },
    })
    await keepNumbers(tx, project.id)
    const { count: keys } = await tx.apiKey.updateMany({
      where: { projectId: project.id, revokedAt: null },
      data: { revokedAt: deletedAt },
    })
    const {
      prompts = 0,
      versions = 0,
      releases = 0,
      aliases = 0,
      sources = 0,
    } = await eraseRows(tx, project.id, rowsAtOnce[deps.connection.kind])
    const erased = { prompts, versions, releases, aliases, sources, keys }
    await recordChange(tx, caller, {
      action: 'project.delete',
      target: project.slug,
      before: toProjectAnswer(project),
      after: { erased },
    })
    return { slug: project.slug, deletedAt: deletedAt.toISOString(), erased }
  }
  const answer = await writeProject(deps, caller.project, erase, deletionTimeoutMs)
  noteKeysRevoked(deps, caller.project)
  await noteErased(deps, caller.project)
  return answer
}

/** Notes where the numbers of prompts, aliases and pins stand, so that a project made anew goes on from there. */
async function keepNumbers(tx: Db, projectId: bigint): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO kept_numbers (project_id, prompt, alias, number)
    SELECT project_id, name, '', version_number FROM prompts WHERE project_id = ${projectId}
    UNION ALL
    SELECT a.project_id, coalesce(p.name, ''), a.name, a.revision
    FROM aliases a LEFT JOIN prompts p ON p.id = a.prompt_id WHERE a.project_id = ${projectId}
    ON CONFLICT (project_id, prompt, alias) DO UPDATE SET number = greatest(kept_numbers.number, excluded.number)`
}

/** Children before their parents, so many at a time; answers the number of rows by table. */
async function eraseRows(tx: Db, projectId: bigint, limit: number): Promise<Record<string, number>> {
  const erased: Record<string, number> = {}
  for (const { name, deletion } of [...tables].reverse()) {
    if (!('where' in deletion)) continue
    const statement = `
      DELETE FROM ${name} WHERE ctid = ANY (ARRAY (SELECT ctid FROM ${name} WHERE ${deletion.where} LIMIT ${limit}))`
    for (let count = limit; count === limit; ) {
      count = await tx.$executeRawUnsafe(statement, projectId)
      erased[name] = (erased[name] ?? 0) + count
    }
  }
  return erased
}
