import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Caller, Project } from '../../lib/access.js'
import { decodeCursor, type Position, toBigInt, toPage } from '../../lib/cursor.js'
import { refOf } from '../../lib/names.js'
import { didYouMean } from '../../lib/suggest.js'
import { recordAudit } from '../audit/audit.service.js'
import { writeProject } from '../projects/projects.service.js'
import { findVersion } from '../prompts/resolve.service.js'
import { resolveRelease } from '../releases/releases.service.js'
import { regressions } from '../releases/regressions.service.js'
import type { Alias, AliasMove, AliasPageQuery, MovedAlias } from './aliases.schema.js'

/** What is shown of the things an alias points to. */
const shown = { select: { id: true, number: true, label: true } } as const
export const aliasRelations = {
  prompt: { select: { id: true, name: true } },
  release: { select: { id: true, number: true, label: true, lineage: true } },
  version: shown,
  canaryRelease: { select: { id: true, number: true, label: true, lineage: true } },
  canaryVersion: shown,
} as const

type Named = { number: number; label: string | null }
type ReleaseTarget = Named & { id: bigint; lineage: bigint[] }
type VersionTarget = Named & { id: string }

/** An alias with what it points to. A deleted one has neither target. */
export type AliasRow = {
  id: bigint
  name: string
  revision: number
  topMoveId: bigint | null
  prompt: { id: bigint; name: string } | null
  release: ReleaseTarget | null
  version: VersionTarget | null
  canaryRelease: ReleaseTarget | null
  canaryVersion: VersionTarget | null
  canaryBasisPoints: number | null
  canarySalt: string | null
  canaryStartedAt: Date | null
  createdAt: Date
  updatedAt: Date
  deletedAt: Date | null
}

/** A project alias points to a release, a pin to a version. */
export type Target = { release: ReleaseTarget } | { version: VersionTarget }

export type Canary = { target: Target; basisPoints: number; salt: string; startedAt: Date }

/** What an alias becomes: its target (null once deleted), its canary, and the move on top of its rollback stack. */
type NextState = { target: Target | null; canary: Canary | null; stack: 'push' | 'keep' | 'empty' | { top: bigint } }

export function targetOf({ release, version }: Pick<AliasRow, 'release' | 'version'>): Target | null {
  if (release) return { release }
  return version ? { version } : null
}

export function canaryOf(row: AliasRow): Canary | null {
  const target = targetOf({ release: row.canaryRelease, version: row.canaryVersion })
  if (!target || row.canaryBasisPoints === null || row.canarySalt === null || row.canaryStartedAt === null) return null
  return { target, basisPoints: row.canaryBasisPoints, salt: row.canarySalt, startedAt: row.canaryStartedAt }
}

export function isSameTarget(a: Target | null, b: Target | null): boolean {
  if (!a || !b) return a === b
  if ('release' in a) return 'release' in b && a.release.id === b.release.id
  return 'version' in b && a.version.id === b.version.id
}

/** Names a target in answers: exactly one of the two is not null. */
export function toTargetRefs(target: Target | null): { release: string | null; version: string | null } {
  return {
    release: target && 'release' in target ? refOf('r', target.release) : null,
    version: target && 'version' in target ? refOf('v', target.version) : null,
  }
}

export function toAlias(row: AliasRow): Alias {
  const canary = canaryOf(row)
  return {
    name: row.name,
    prompt: row.prompt?.name ?? null,
    ...toTargetRefs(targetOf(row)),
    revision: row.revision,
    canary: canary && {
      ...toTargetRefs(canary.target),
      percentage: canary.basisPoints / 100,
      startedAt: canary.startedAt.toISOString(),
    },
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

/** The alias row, a deleted one included; `promptId` null means the project alias. */
export async function findAliasRow(db: Db, project: Project, name: string, promptId: bigint | null): Promise<AliasRow | null> {
  return db.alias.findFirst({ where: { projectId: project.id, name, promptId }, include: aliasRelations })
}

/** An alias that exists. Throws `alias.not_found` or `prompt.not_found`. */
export async function requireAlias(db: Db, project: Project, name: string, prompt: string | undefined): Promise<AliasRow> {
  const promptId = prompt === undefined ? null : await requirePromptId(db, project, prompt)
  const row = await findAliasRow(db, project, name, promptId)
  if (row && row.deletedAt === null) return row
  const others = await db.alias.findMany({ where: { projectId: project.id, promptId, deletedAt: null }, select: { name: true }, take: 500 })
  const what = prompt === undefined ? `No alias "${name}"` : `No alias "${name}" of prompt "${prompt}" (a pin)`
  throw new AppError('alias.not_found', `${what} in project "${project.slug}".${didYouMean(name, others.map((other) => other.name))}`)
}

export async function requirePromptId(db: Db, project: Project, name: string): Promise<bigint> {
  const prompt = await db.prompt.findUnique({ where: { projectId_name: { projectId: project.id, name } }, select: { id: true } })
  if (prompt) return prompt.id
  throw new AppError('prompt.not_found', `No prompt "${name}" in project "${project.slug}". See GET /prompts.`)
}

/** `If-Match`: `"<revision>"`, several of them, or `*` for any alias that exists. Throws `alias.moved`. */
export function checkRevision(name: string, row: AliasRow | null, ifMatch: string | undefined): void {
  if (ifMatch === undefined) return
  const exists = row !== null && row.deletedAt === null
  if (exists && (ifMatch.trim() === '*' || ifMatch.includes(`"${row.revision}"`))) return
  const now = exists ? `is at revision ${row.revision}, not ${ifMatch}` : `does not exist, so it is not at ${ifMatch}`
  throw new AppError('alias.moved', `Alias "${name}" ${now}. Read it again and retry.`)
}

/** What a call says of the move it makes. */
export type MoveRequest = { name: string; prompt?: string | undefined; reason?: string | undefined; ifMatch?: string | undefined }

/**
 * Points an alias, new or not, to a release, or a pin to a version. To its current target it changes nothing, whatever
 * `If-Match` says. Throws `canary.active` while a canary runs, `alias.taken` when a label has the name.
 */
export async function moveAlias(
  deps: Deps,
  caller: Caller,
  request: MoveRequest & { version: string; dryRun: boolean },
): Promise<{ alias: MovedAlias; created: boolean }> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const promptId = request.prompt === undefined ? null : await requirePromptId(tx, project, request.prompt)
    const row = await findAliasRow(tx, project, request.name, promptId)
    const target = await resolveTarget(tx, project, request.prompt, request.version)
    const plan = await planMove(tx, project, request, row, target)
    if (!plan.moves || request.dryRun) {
      const alias = row && row.deletedAt === null ? toAlias(row) : newAlias(request)
      const revision = plan.moves ? null : alias.revision
      return { alias: { ...alias, ...toTargetRefs(target), revision, warnings: plan.warnings }, created: false }
    }
    const moved = await applyMove(deps, tx, caller, { row, promptId, request }, target)
    return { alias: { ...toAlias(moved), warnings: plan.warnings }, created: row === null || row.deletedAt !== null }
  })
}

function newAlias({ name, prompt }: MoveRequest): Alias {
  return { name, prompt: prompt ?? null, release: null, version: null, revision: null, canary: null, createdAt: null, updatedAt: null }
}

export async function resolveTarget(db: Db, project: Project, prompt: string | undefined, ref: string): Promise<Target> {
  if (prompt === undefined) return { release: await resolveRelease(db, project, ref) }
  return { version: await findVersion(db, project, prompt, ref) }
}

/** Checks a move without making it: whether it changes anything, and what it takes back. */
export async function planMove(db: Db, project: Project, request: MoveRequest, row: AliasRow | null, target: Target) {
  const current = row && row.deletedAt === null ? targetOf(row) : null
  if (isSameTarget(current, target)) return { moves: false, warnings: [] }
  await refuseMove(db, project, request, row)
  return { moves: true, warnings: await warningsOf(db, request, current, target) }
}

/** The reasons for which an alias may not move now. */
export async function refuseMove(db: Db, project: Project, request: MoveRequest, row: AliasRow | null): Promise<void> {
  checkRevision(request.name, row, request.ifMatch)
  if (row && canaryOf(row)) {
    throw new AppError(
      'canary.active',
      `Alias "${request.name}" has a canary running. Promote it (POST /canary/${request.name}/promote) or end it (DELETE /canary/${request.name}) first.`,
    )
  }
  if (await db.release.findFirst({ where: { projectId: project.id, label: request.name }, select: { id: true } })) {
    throw new AppError('alias.taken', `"${request.name}" is the label of a release of project "${project.slug}". Choose another alias.`)
  }
}

/** What a move takes back. */
export async function warningsOf(db: Db, { prompt }: MoveRequest, current: Target | null, target: Target): Promise<string[]> {
  if (current && 'version' in current && 'version' in target) {
    return target.version.number < current.version.number
      ? [`Prompt "${prompt}" goes back from ${refOf('v', current.version)} to ${refOf('v', target.version)}.`]
      : []
  }
  if (!current || !('release' in current) || !('release' in target)) return []
  return regressions(db, current.release.lineage, target.release.lineage)
}

/** Makes a planned move: the row, its history and its audit entry. */
export async function applyMove(
  deps: Deps,
  tx: Db,
  caller: Caller,
  alias: { row: AliasRow | null; promptId: bigint | null; request: MoveRequest },
  target: Target,
): Promise<AliasRow> {
  const { request, promptId } = alias
  const row =
    alias.row ??
    (await tx.alias.create({ data: { projectId: caller.project.id, name: request.name, promptId, createdAt: deps.now() }, include: aliasRelations }))
  return changeAlias(deps, tx, caller, row, { action: 'move', reason: request.reason }, { target, canary: null, stack: 'push' })
}

/** Writes the next state of an alias with its history entry and its audit entry: the only place that changes one. */
export async function changeAlias(
  deps: Deps,
  tx: Db,
  caller: Caller,
  row: AliasRow,
  change: { action: AliasMove['action']; reason?: string | undefined },
  next: NextState,
): Promise<AliasRow> {
  const revision = row.revision + 1
  const targets = {
    releaseId: next.target && 'release' in next.target ? next.target.release.id : null,
    versionId: next.target && 'version' in next.target ? next.target.version.id : null,
    canaryReleaseId: next.canary && 'release' in next.canary.target ? next.canary.target.release.id : null,
    canaryVersionId: next.canary && 'version' in next.canary.target ? next.canary.target.version.id : null,
    canaryBasisPoints: next.canary?.basisPoints ?? null,
  }
  const move = await tx.aliasMove.create({
    data: {
      aliasId: row.id,
      revision,
      action: change.action,
      ...targets,
      belowMoveId: next.stack === 'push' ? row.topMoveId : null,
      reason: change.reason ?? null,
      actor: caller.actor.name,
      requestId: caller.requestId,
      createdAt: deps.now(),
    },
    select: { id: true },
  })
  const after = await tx.alias.update({
    where: { id: row.id },
    data: {
      revision,
      ...targets,
      canarySalt: next.canary?.salt ?? null,
      canaryStartedAt: next.canary?.startedAt ?? null,
      topMoveId: topOfStack(row, next.stack, move.id),
      updatedAt: deps.now(),
      deletedAt: next.target ? null : deps.now(),
    },
    include: aliasRelations,
  })
  await recordAudit(tx, caller, {
    project: caller.project.slug,
    action: `alias.${change.action}`,
    target: row.prompt ? `${row.name} of ${row.prompt.name}` : row.name,
    before: row.revision === 0 ? null : toAlias(row),
    after: toAlias(after),
  })
  return after
}

function topOfStack(row: AliasRow, stack: NextState['stack'], moveId: bigint): bigint | null {
  if (stack === 'push') return moveId
  if (stack === 'keep') return row.topMoveId
  return stack === 'empty' ? null : stack.top
}

/** Ends a running canary; else goes back to the target below. Throws `rollback.empty` at the bottom. */
export async function rollbackAlias(deps: Deps, caller: Caller, request: MoveRequest): Promise<MovedAlias> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const row = await requireAlias(tx, project, request.name, request.prompt)
    checkRevision(request.name, row, request.ifMatch)
    const current = targetOf(row)
    const change = { action: 'rollback' as const, reason: request.reason }
    if (canaryOf(row)) {
      return { ...toAlias(await changeAlias(deps, tx, caller, row, change, { target: current, canary: null, stack: 'keep' })), warnings: [] }
    }
    const below = await findBelow(tx, row)
    if (!below) throw new AppError('rollback.empty', `Alias "${request.name}" has no earlier target to roll back to. Move it with PUT /aliases/${request.name}.`)
    const warnings = await warningsOf(tx, request, current, below.target)
    const after = await changeAlias(deps, tx, caller, row, change, { target: below.target, canary: null, stack: { top: below.moveId } })
    return { ...toAlias(after), warnings }
  })
}

async function findBelow(db: Db, row: AliasRow): Promise<{ moveId: bigint; target: Target } | null> {
  if (row.topMoveId === null) return null
  const top = await db.aliasMove.findUnique({ where: { id: row.topMoveId }, select: { belowMoveId: true } })
  if (!top?.belowMoveId) return null
  const move = await db.aliasMove.findUnique({ where: { id: top.belowMoveId } })
  if (!move) return null
  if (move.releaseId !== null) return { moveId: move.id, target: { release: await db.release.findUniqueOrThrow({ where: { id: move.releaseId } }) } }
  if (move.versionId === null) return null
  return { moveId: move.id, target: { version: await db.version.findUniqueOrThrow({ where: { id: move.versionId }, ...shown }) } }
}

/** Removes an alias; its history stays and its revision goes on when it is made again. */
export async function deleteAlias(deps: Deps, caller: Caller, request: MoveRequest): Promise<Alias> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const row = await requireAlias(tx, project, request.name, request.prompt)
    checkRevision(request.name, row, request.ifMatch)
    const after = await changeAlias(
      deps,
      tx,
      caller,
      row,
      { action: 'delete', reason: request.reason },
      { target: null, canary: null, stack: 'empty' },
    )
    return toAlias(after)
  })
}

export async function getAlias({ db }: Deps, project: Project, name: string, prompt: string | undefined): Promise<Alias> {
  return toAlias(await requireAlias(db, project, name, prompt))
}

/** The condition of what comes after an alias in the order of name and age. */
export function afterAlias(position: Position | null) {
  if (!position) return {}
  const [name, id] = [String(position[0]), toBigInt(position[1])]
  return { OR: [{ name: { gt: name } }, { name, id: { gt: id } }] }
}

/** By name, then by age, pins included. `prompt` lists the pins of one prompt. */
export async function listAliases({ db }: Deps, project: Project, query: AliasPageQuery) {
  const position = decodeCursor(query.cursor, ['string', 'string'])
  const promptId = query.prompt === undefined ? undefined : await requirePromptId(db, project, query.prompt)
  const rows = await db.alias.findMany({
    where: {
      projectId: project.id,
      deletedAt: null,
      ...(promptId === undefined ? {} : { promptId }),
      ...afterAlias(position),
    },
    orderBy: [{ name: 'asc' }, { id: 'asc' }],
    take: query.limit + 1,
    include: aliasRelations,
  })
  return toPage(rows, query.limit, (row) => [row.name, row.id.toString()], toAlias)
}

/** Newest first, without a gap from the current revision down to 1; also of an alias that was deleted. */
export async function listMoves({ db }: Deps, project: Project, name: string, query: AliasPageQuery) {
  const position = decodeCursor(query.cursor, ['number'])
  const promptId = query.prompt === undefined ? null : await requirePromptId(db, project, query.prompt)
  const alias = (await findAliasRow(db, project, name, promptId)) ?? (await requireAlias(db, project, name, query.prompt))
  const rows = await db.aliasMove.findMany({
    where: { aliasId: alias.id, ...(position ? { revision: { lt: Number(position[0]) } } : {}) },
    orderBy: { revision: 'desc' },
    take: query.limit + 1,
  })
  const names = await namesOf(db, rows)
  return toPage(
    rows,
    query.limit,
    (row) => [row.revision],
    (row): AliasMove => ({
      revision: row.revision,
      action: row.action as AliasMove['action'],
      ...names(row.releaseId, row.versionId),
      canary: row.canaryBasisPoints === null ? null : { ...names(row.canaryReleaseId, row.canaryVersionId), percentage: row.canaryBasisPoints / 100 },
      reason: row.reason,
      actor: row.actor,
      requestId: row.requestId,
      createdAt: row.createdAt.toISOString(),
    }),
  )
}

type MoveTargets = { releaseId: bigint | null; versionId: string | null; canaryReleaseId: bigint | null; canaryVersionId: string | null }

/** The refs of everything that some moves point to, read in two queries. */
async function namesOf(db: Db, moves: MoveTargets[]) {
  const releaseIds = moves.flatMap((move) => [move.releaseId, move.canaryReleaseId]).filter((id) => id !== null)
  const versionIds = moves.flatMap((move) => [move.versionId, move.canaryVersionId]).filter((id) => id !== null)
  const releases = new Map((await db.release.findMany({ where: { id: { in: releaseIds } }, ...shown })).map((row) => [row.id, refOf('r', row)]))
  const versions = new Map((await db.version.findMany({ where: { id: { in: versionIds } }, ...shown })).map((row) => [row.id, refOf('v', row)]))
  return (releaseId: bigint | null, versionId: string | null) => ({
    release: releaseId === null ? null : (releases.get(releaseId) ?? null),
    version: versionId === null ? null : (versions.get(versionId) ?? null),
  })
}
