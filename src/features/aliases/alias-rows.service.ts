import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import { refOf } from '../../lib/names.js'
import { didYouMean } from '../../lib/suggest.js'
import { promptNotFound } from '../prompts/resolve.service.js'
import type { Alias, AliasPageQuery } from './aliases.schema.js'

type Named = { number: number; label: string | null }
export type ReleaseTarget = Named & { id: bigint; lineage: bigint[] }
export type VersionTarget = Named & { id: string }

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

export async function requireRow(db: Db, id: bigint): Promise<AliasRow> {
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
  throw await promptNotFound(db, project, name)
}

export async function getAlias({ db }: Deps, project: Project, name: string, prompt: string | undefined): Promise<Alias> {
  return toAlias(await requireAlias(db, project, name, prompt))
}

const aliasList = pagedList<[name: string, id: string]>('aliases', ['text', 'id'])

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
