import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Caller, Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import { refOf } from '../../lib/names.js'
import { didYouMean } from '../../lib/suggest.js'
import { recordAudit } from '../audit/audit.service.js'
import { writeProject } from '../projects/projects.service.js'
import { findVersion } from '../prompts/resolve.service.js'
import { regressions } from '../releases/regressions.service.js'
import { resolveRelease } from '../releases/releases.service.js'
import type { Alias, AliasMove, AliasPageQuery, MovedAlias } from './aliases.schema.js'

/** What is shown of a version that a move points to. */
const shown = { select: { id: true, number: true, label: true } } as const

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

type Columns = {
  id: bigint
  name: string
  revision: number
  top_move_id: bigint | null
  prompt_id: bigint | null
  prompt_name: string | null
  release_id: bigint | null
  release_number: number | null
  release_label: string | null
  release_lineage: bigint[] | null
  version_id: string | null
  version_number: number | null
  version_label: string | null
  canary_release_id: bigint | null
  canary_release_number: number | null
  canary_release_label: string | null
  canary_release_lineage: bigint[] | null
  canary_version_id: string | null
  canary_version_number: number | null
  canary_version_label: string | null
  canary_basis_points: number | null
  canary_salt: string | null
  canary_started_at: Date | null
  created_at: Date
  updated_at: Date
  deleted_at: Date | null
}

/** Aliases with what they point to, in one statement; `a` is the alias in `condition`, which may go on with an order. */
export async function readAliases(db: Db, condition: Prisma.Sql): Promise<AliasRow[]> {
  const rows = await db.$queryRaw<Columns[]>`
    SELECT a.id, a.name, a.revision, a.top_move_id, a.canary_basis_points, a.canary_salt, a.canary_started_at,
      a.created_at, a.updated_at, a.deleted_at, p.id AS prompt_id, p.name AS prompt_name,
      r.id AS release_id, r.number AS release_number, r.label AS release_label, r.lineage AS release_lineage,
      v.id::text AS version_id, v.number AS version_number, v.label AS version_label,
      cr.id AS canary_release_id, cr.number AS canary_release_number, cr.label AS canary_release_label, cr.lineage AS canary_release_lineage,
      cv.id::text AS canary_version_id, cv.number AS canary_version_number, cv.label AS canary_version_label
    FROM aliases a
    LEFT JOIN prompts p ON p.id = a.prompt_id
    LEFT JOIN releases r ON r.id = a.release_id
    LEFT JOIN versions v ON v.id = a.version_id
    LEFT JOIN releases cr ON cr.id = a.canary_release_id
    LEFT JOIN versions cv ON cv.id = a.canary_version_id
    WHERE ${condition}`
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    revision: row.revision,
    topMoveId: row.top_move_id,
    prompt: row.prompt_id === null ? null : { id: row.prompt_id, name: row.prompt_name ?? '' },
    release: toReleaseTarget(row.release_id, row.release_number, row.release_label, row.release_lineage),
    version: toVersionTarget(row.version_id, row.version_number, row.version_label),
    canaryRelease: toReleaseTarget(
      row.canary_release_id,
      row.canary_release_number,
      row.canary_release_label,
      row.canary_release_lineage,
    ),
    canaryVersion: toVersionTarget(row.canary_version_id, row.canary_version_number, row.canary_version_label),
    canaryBasisPoints: row.canary_basis_points,
    canarySalt: row.canary_salt,
    canaryStartedAt: row.canary_started_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
  }))
}

function toReleaseTarget(
  id: bigint | null,
  number: number | null,
  label: string | null,
  lineage: bigint[] | null,
): ReleaseTarget | null {
  return id === null || number === null || lineage === null ? null : { id, number, label, lineage }
}

function toVersionTarget(id: string | null, number: number | null, label: string | null): VersionTarget | null {
  return id === null || number === null ? null : { id, number, label }
}

/** The alias row, a deleted one included; `promptId` null means the project alias. */
export async function findAliasRow(db: Db, project: Project, name: string, promptId: bigint | null): Promise<AliasRow | null> {
  const [row] = await readAliases(
    db,
    Prisma.sql`a.project_id = ${project.id} AND a.name = ${name} AND a.prompt_id IS NOT DISTINCT FROM ${promptId}::bigint`,
  )
  return row ?? null
}

async function requireRow(db: Db, id: bigint): Promise<AliasRow> {
  const [row] = await readAliases(db, Prisma.sql`a.id = ${id}`)
  if (!row) throw new Error(`Alias ${id} is gone.`)
  return row
}

/** An alias that exists. Throws `alias.not_found` or `prompt.not_found`. */
export async function requireAlias(db: Db, project: Project, name: string, prompt: string | undefined): Promise<AliasRow> {
  const promptId = prompt === undefined ? null : await requirePromptId(db, project, prompt)
  const row = await findAliasRow(db, project, name, promptId)
  if (row && row.deletedAt === null) return row
  const others = await db.alias.findMany({
    where: { projectId: project.id, promptId, deletedAt: null },
    select: { name: true },
    take: 500,
  })
  const what = prompt === undefined ? `No alias "${name}"` : `No alias "${name}" of prompt "${prompt}" (a pin)`
  throw new AppError(
    'alias.not_found',
    `${what} in project "${project.slug}".${didYouMean(
      name,
      others.map((other) => other.name),
    )}`,
  )
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
  const row = alias.row ?? (await createAliasRow(deps, tx, caller, request.name, promptId))
  return changeAlias(deps, tx, caller, row, { action: 'move', reason: request.reason }, { target, canary: null, stack: 'push' })
}

async function createAliasRow(deps: Deps, tx: Db, caller: Caller, name: string, promptId: bigint | null): Promise<AliasRow> {
  const data = { projectId: caller.project.id, name, promptId, createdAt: deps.now() }
  const { id } = await tx.alias.create({ data, select: { id: true } })
  return requireRow(tx, id)
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
  const after = await requireRow(tx, row.id)
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

const aliasList = pagedList<[name: string, id: string]>('aliases', ['text', 'id'])
const moveList = pagedList<[revision: number]>('moves', ['number'])

/** A page of a project's aliases by name, then by age; one more than the page, to tell whether it is the last. */
export async function readAliasPage(
  db: Db,
  project: Project,
  query: AliasPageQuery,
  only: Prisma.Sql = Prisma.sql`true`,
): Promise<AliasRow[]> {
  const position = aliasList.position(query.cursor)
  const promptId = query.prompt === undefined ? null : await requirePromptId(db, project, query.prompt)
  const ofPrompt = promptId === null ? Prisma.sql`true` : Prisma.sql`a.prompt_id = ${promptId}`
  const after = position ? Prisma.sql`(a.name, a.id) > (${position[0]}, ${BigInt(position[1])}::bigint)` : Prisma.sql`true`
  return readAliases(
    db,
    Prisma.sql`a.project_id = ${project.id} AND a.deleted_at IS NULL AND ${ofPrompt} AND ${after} AND ${only}
      ORDER BY a.name, a.id LIMIT ${query.limit + 1}`,
  )
}

export function toAliasPage<Item>(rows: AliasRow[], { limit }: AliasPageQuery, toItem: (row: AliasRow) => Item) {
  return aliasList.page(rows, limit, (row) => [row.name, row.id.toString()], toItem)
}

/** Pins included; `prompt` lists the pins of one prompt. */
export async function listAliases({ db }: Deps, project: Project, query: AliasPageQuery) {
  return toAliasPage(await readAliasPage(db, project, query), query, toAlias)
}

/** Newest first, without a gap from the current revision down to 1; also of an alias that was deleted. */
export async function listMoves({ db }: Deps, project: Project, name: string, query: AliasPageQuery) {
  const position = moveList.position(query.cursor)
  const promptId = query.prompt === undefined ? null : await requirePromptId(db, project, query.prompt)
  const alias = (await findAliasRow(db, project, name, promptId)) ?? (await requireAlias(db, project, name, query.prompt))
  const rows = await db.aliasMove.findMany({
    where: { aliasId: alias.id, ...(position ? { revision: { lt: position[0] } } : {}) },
    orderBy: { revision: 'desc' },
    take: query.limit + 1,
  })
  const names = await namesOf(db, rows)
  return moveList.page(
    rows,
    query.limit,
    (row) => [row.revision],
    (row): AliasMove => ({
      revision: row.revision,
      action: row.action as AliasMove['action'],
      ...names(row.releaseId, row.versionId),
      canary:
        row.canaryBasisPoints === null
          ? null
          : { ...names(row.canaryReleaseId, row.canaryVersionId), percentage: row.canaryBasisPoints / 100 },
      reason: row.reason,
      actor: row.actor,
      requestId: row.requestId,
      createdAt: row.createdAt.toISOString(),
    }),
  )
}

type MoveTargets = {
  releaseId: bigint | null
  versionId: string | null
  canaryReleaseId: bigint | null
  canaryVersionId: string | null
}

/** The refs of everything that some moves point to, read in two queries. */
async function namesOf(db: Db, moves: MoveTargets[]) {
  const releaseIds = moves.flatMap((move) => [move.releaseId, move.canaryReleaseId]).filter((id) => id !== null)
  const versionIds = moves.flatMap((move) => [move.versionId, move.canaryVersionId]).filter((id) => id !== null)
  const releases = new Map(
    (await db.release.findMany({ where: { id: { in: releaseIds } }, ...shown })).map((row) => [row.id, refOf('r', row)]),
  )
  const versions = new Map(
    (await db.version.findMany({ where: { id: { in: versionIds } }, ...shown })).map((row) => [row.id, refOf('v', row)]),
  )
  return (releaseId: bigint | null, versionId: string | null) => ({
    release: releaseId === null ? null : (releases.get(releaseId) ?? null),
    version: versionId === null ? null : (versions.get(versionId) ?? null),
  })
}
