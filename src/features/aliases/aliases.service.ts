import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Caller, Project } from '../../lib/access.js'
import { refOf } from '../../lib/names.js'
import { recordChange, writeProject } from '../projects/projects.service.js'
import { findVersion } from '../prompts/resolve.service.js'
import { regressions } from '../releases/regressions.service.js'
import { resolveRelease } from '../releases/releases.service.js'
import {
  type AliasRow,
  type Canary,
  canaryOf,
  findAliasRow,
  isSameTarget,
  requireAlias,
  requirePromptId,
  requireRow,
  type Target,
  targetOf,
  toAlias,
  toTargetRefs,
} from './alias-rows.service.js'
import type { Alias, AliasMove, MovedAlias } from './aliases.schema.js'

/** What an alias becomes: its target (null once deleted), its canary, and the move on top of its rollback stack. */
type NextState = { target: Target | null; canary: Canary | null; stack: 'push' | 'keep' | 'empty' | { top: bigint } }

/** `If-Match`: `"<revision>"`, several of them, or `*` for any alias that exists; weak tags never match. Throws `alias.moved`. */
export function checkRevision(name: string, row: AliasRow | null, ifMatch: string | undefined): void {
  if (ifMatch === undefined) return
  const exists = row !== null && row.deletedAt === null
  if (exists && (ifMatch.trim() === '*' || ifMatch.split(',').some((tag) => tag.trim() === `"${row.revision}"`))) return
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
  return {
    name,
    prompt: prompt ?? null,
    release: null,
    version: null,
    revision: null,
    canary: null,
    createdAt: null,
    updatedAt: null,
  }
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
    throw new AppError(
      'alias.taken',
      `"${request.name}" is the label of a release of project "${project.slug}". Choose another alias.`,
    )
  }
}

/** What a move takes back. */
export async function warningsOf(db: Db, { prompt }: MoveRequest, current: Target | null, target: Target): Promise<string[]> {
  if ('version' in target) {
    const { purgedAt } = await db.version.findUniqueOrThrow({ where: { id: target.version.id }, select: { purgedAt: true } })
    if (purgedAt) return [`Version ${refOf('v', target.version)} of prompt "${prompt}" was purged: fetching it answers 410.`]
  }
  if (current && 'version' in current && 'version' in target) {
    return target.version.number < current.version.number
      ? [`Prompt "${prompt}" goes back from ${refOf('v', current.version)} to ${refOf('v', target.version)}.`]
      : []
  }
  if (!current || !('release' in current) || !('release' in target)) return []
  return regressions(db, current.release.lineage, target.release.lineage)
}

type PlannedMove = { row: AliasRow | null; promptId: bigint | null; request: MoveRequest }

/** Makes a planned move: the row, its history and its audit entry. */
async function applyMove(deps: Deps, tx: Db, caller: Caller, alias: PlannedMove, target: Target): Promise<AliasRow> {
  const after = await writeMove(deps, tx, caller, alias, target)
  await auditChange(tx, caller, 'move', alias.row, after)
  return after
}

/** `applyMove` without an audit entry, for a push: its own entry tells of the move. */
export async function writeMove(deps: Deps, tx: Db, caller: Caller, alias: PlannedMove, target: Target): Promise<AliasRow> {
  const { request, promptId } = alias
  const row = alias.row ?? (await createAliasRow(deps, tx, caller, request.name, promptId))
  return writeAlias(deps, tx, caller, row, { action: 'move', reason: request.reason }, { target, canary: null, stack: 'push' })
}

async function createAliasRow(deps: Deps, tx: Db, caller: Caller, name: string, promptId: bigint | null): Promise<AliasRow> {
  const projectId = caller.project.id
  // An alias of a deleted project goes on with its revision.
  const [kept] = await tx.$queryRaw<{ number: number }[]>`
    SELECT number FROM kept_numbers WHERE project_id = ${projectId} AND alias = ${name}
      AND prompt = coalesce((SELECT p.name FROM prompts p WHERE p.id = ${promptId}::bigint), '')`
  const data = { projectId, name, promptId, revision: kept?.number ?? 0, createdAt: deps.now() }
  const { id } = await tx.alias.create({ data, select: { id: true } })
  return requireRow(tx, id)
}

/** Makes the next state of an alias with its history entry and its audit entry. */
export async function changeAlias(
  deps: Deps,
  tx: Db,
  caller: Caller,
  row: AliasRow,
  change: { action: AliasMove['action']; reason?: string | undefined },
  next: NextState,
): Promise<AliasRow> {
  const after = await writeAlias(deps, tx, caller, row, change, next)
  await auditChange(tx, caller, change.action, row, after)
  return after
}

async function auditChange(
  tx: Db,
  caller: Caller,
  action: AliasMove['action'],
  before: AliasRow | null,
  after: AliasRow,
): Promise<void> {
  await recordChange(tx, caller, {
    action: `alias.${action}`,
    target: after.prompt ? `${after.name} of ${after.prompt.name}` : after.name,
    before: before && toAlias(before),
    after: toAlias(after),
  })
}

/** Writes the next state of an alias and its history entry: the only place that changes one. */
async function writeAlias(
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
  await tx.alias.update({
    where: { id: row.id },
    select: { id: true },
    data: {
      revision,
      ...targets,
      canarySalt: next.canary?.salt ?? null,
      canaryStartedAt: next.canary?.startedAt ?? null,
      topMoveId: topOfStack(row, next.stack, move.id),
      updatedAt: deps.now(),
      deletedAt: next.target ? null : deps.now(),
    },
  })
  return requireRow(tx, row.id)
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
      return {
        ...toAlias(await changeAlias(deps, tx, caller, row, change, { target: current, canary: null, stack: 'keep' })),
        warnings: [],
      }
    }
    const below = await findBelow(tx, row)
    if (!below)
      throw new AppError(
        'rollback.empty',
        `Alias "${request.name}" has no earlier target to roll back to. Move it with PUT /aliases/${request.name}.`,
      )
    const warnings = await warningsOf(tx, request, current, below.target)
    const after = await changeAlias(deps, tx, caller, row, change, {
      target: below.target,
      canary: null,
      stack: { top: below.moveId },
    })
    return { ...toAlias(after), warnings }
  })
}

async function findBelow(db: Db, row: AliasRow): Promise<{ moveId: bigint; target: Target } | null> {
  if (row.topMoveId === null) return null
  const top = await db.aliasMove.findUnique({ where: { id: row.topMoveId }, select: { belowMoveId: true } })
  if (!top?.belowMoveId) return null
  const move = await db.aliasMove.findUnique({ where: { id: top.belowMoveId } })
  if (!move) return null
  if (move.releaseId !== null)
    return { moveId: move.id, target: { release: await db.release.findUniqueOrThrow({ where: { id: move.releaseId } }) } }
  if (move.versionId === null) return null
  return {
    moveId: move.id,
    target: {
      version: await db.version.findUniqueOrThrow({
        where: { id: move.versionId },
        select: { id: true, number: true, label: true },
      }),
    },
  }
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
