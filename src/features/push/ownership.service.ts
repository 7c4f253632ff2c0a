import type { Db } from '../../database/connect.js'
import { AppError, type Finding } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import { maxFindings } from '../../lib/validation.js'
import { readReleaseSource } from '../releases/release-sources.service.js'
import type { Held, Origin } from '../releases/snapshots.service.js'
import type { PlannedPrompt } from './composition.service.js'
import type { Sync } from './prepare.service.js'
import type { Remark } from './read.service.js'

/** The names of a project's sources by their id. What a source owned that is gone nobody owns. */
export type Owners = ReadonlyMap<bigint, string>

export async function readOwners(db: Db, project: Project): Promise<Owners> {
  const rows = await db.source.findMany({ where: { projectId: project.id }, select: { id: true, name: true } })
  return new Map(rows.map(({ id, name }) => [id, name]))
}

export function isOwned({ origin }: Held, owners: Owners): boolean {
  return origin !== null && owners.has(origin.sourceId)
}

/** Who brings a prompt from the planned release on: one that merely follows what it includes stays where it was. */
export function originOf({ pushed, known, follows }: PlannedPrompt, sync: Sync | null): Origin | null {
  if (follows) return known?.inBase?.origin ?? null
  return sync && pushed.path !== null ? { sourceId: sync.source.id, path: pushed.path } : null
}

/** Throws `source.owned` for a push of what a source owns, and `source.conflict` for a source that brings what another one does. */
export function refuseOwned(project: Project, prompts: PlannedPrompt[], sync: Sync | null, owners: Owners): void {
  const owned = prompts.flatMap(({ pushed, known, follows }) => {
    const origin = known?.inBase?.origin
    const owner = origin && !follows && origin.sourceId !== sync?.source.id ? owners.get(origin.sourceId) : undefined
    return origin && owner !== undefined ? [{ pushed, owner, path: origin.path }] : []
  })
  const [first] = owned
  if (!first) return
  const errors = owned.slice(0, maxFindings).map(({ pushed, owner, path }): Finding => {
    const theirs = `source "${owner}" (file "${path}")`
    if (!sync) return { path: pushed.where, message: `prompt "${pushed.name}" belongs to ${theirs}` }
    return { path: pushed.where, message: `File "${pushed.path}" is prompt "${pushed.name}", which ${theirs} brings already` }
  })
  const more = owned.length > 1 ? ` (and ${owned.length - 1} more, see errors)` : ''
  if (sync) {
    const remedy = `Give one of the sources "${sync.source.name}" and "${first.owner}" another prefix.`
    throw new AppError('source.conflict', `${errors[0]?.message}${more}. ${remedy}`, { errors })
  }
  const where = `source "${first.owner}" of project "${project.slug}"`
  const remedy = `Change the file "${first.path}" there and sync, or DELETE /sources/${first.owner} first.`
  throw new AppError('source.owned', `Prompt "${first.pushed.name}" belongs to ${where}${more}. ${remedy}`, { errors })
}

/** What was pushed before and a source brings from now on: pushes of it are refused from then on. */
export function takenOver(prompts: PlannedPrompt[], sync: Sync | null): Remark[] {
  if (!sync) return []
  return prompts.flatMap(({ pushed, known, follows }) => {
    if (follows || !known?.inBase || known.inBase.origin !== null) return []
    const message = `Prompt "${pushed.name}" was pushed before; from now on source "${sync.source.name}" owns it.`
    return [{ code: 'source.taken_over', prompt: pushed.name, path: pushed.where, message }]
  })
}

/** Tells the sources of prompts that follow what they include which versions their files are now. */
export async function noteFollowers(tx: Db, prompts: PlannedPrompt[]): Promise<void> {
  const rows = prompts.flatMap(({ known, follows, versionId }) => {
    const origin = follows ? known?.inBase?.origin : null
    return origin ? [{ source: origin.sourceId.toString(), path: origin.path, version: versionId }] : []
  })
  if (rows.length === 0) return
  await tx.$executeRaw`
    UPDATE source_files f SET version_id = row.version
    FROM json_to_recordset(${JSON.stringify(rows)}::json) AS row(source bigint, path text, version uuid)
    WHERE f.source_id = row.source AND f.path = row.path`
}

/** Whether the way in which the source's files are found differs from that of a release. */
export async function changesRouting(db: Db, lineage: bigint[], { source, pathFile }: Sync): Promise<boolean> {
  const held = await readReleaseSource(db, lineage, source.id)
  return held?.name !== source.name || held.prefix !== source.prefix || held.pathFile !== pathFile
}
