import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import type { Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import { refOf } from '../../lib/names.js'
import { findAliasRow, requireAlias, requirePromptId } from './alias-rows.service.js'
import type { AliasMove, AliasPageQuery } from './aliases.schema.js'

/** What is shown of a version that a move points to. */
const shown = { select: { id: true, number: true, label: true } } as const

const moveList = pagedList<[revision: number]>('moves', ['number'])

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
