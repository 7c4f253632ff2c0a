import type { Db } from '../../database/connect.js'
import { Prisma } from '../../generated/prisma/client.js'

/** Every 64th release of a line holds its whole snapshot; the others hold what they changed. */
export const checkpointEvery = 64

/** What stands for a prompt in a snapshot. */
export type Held = {
  promptId: bigint
  name: string
  versionId: string
  number: number
  label: string | null
  /** Null once the version is purged: equal to no content. */
  contentHash: string | null
  /** Who brings it there, and as which file; null for what was pushed. */
  origin: Origin | null
}

/** The source that owns a prompt in a release, and the path of its file there. */
export type Origin = { sourceId: bigint; path: string }

/** A change to a snapshot: another version or origin of a prompt, or null for its removal. */
export type SnapshotChange = { promptId: bigint; versionId: string | null; origin: Origin | null }

type Line = { id: bigint; lineage: bigint[] }

/** Prompts are looked up by these conditions, all optional; a page is by name. */
type Selection = { after?: string; limit?: number }

/** The version of one prompt along a lineage (null where it was removed), as SQL: one indexed look-up, whatever the number of releases. */
export const heldVersion = (lineage: Prisma.Sql, promptId: Prisma.Sql) => newestEntry(Prisma.sql`e.version_id`, lineage, promptId)

/** The same with who brought it: `source_id` and `path`. */
export const heldEntry = (lineage: Prisma.Sql, promptId: Prisma.Sql) =>
  newestEntry(Prisma.sql`e.version_id, e.source_id, e.path`, lineage, promptId)

const newestEntry = (columns: Prisma.Sql, lineage: Prisma.Sql, promptId: Prisma.Sql) => Prisma.sql`
  SELECT ${columns} FROM release_entries e
  WHERE e.prompt_id = ${promptId} AND e.release_id = ANY(${lineage}) ORDER BY e.release_id DESC LIMIT 1`

/** The version of one prompt in a release, or null. */
export async function findInRelease(db: Db, lineage: bigint[], promptId: bigint): Promise<string | null> {
  const [held] = await db.$queryRaw<{ version_id: string | null }[]>`
    SELECT held.version_id::text FROM (${heldVersion(Prisma.sql`${lineage}`, Prisma.sql`${promptId}`)}) held`
  return held?.version_id ?? null
}

/** The newest entry of each prompt along a lineage, removals included. */
const latestEntries = (lineage: bigint[]) => Prisma.sql`
  SELECT DISTINCT ON (prompt_id) prompt_id, version_id, source_id, path FROM release_entries
  WHERE release_id = ANY(${lineage}) ORDER BY prompt_id, release_id DESC`

/** All that a release holds, by name. */
export async function readSnapshot(db: Db, lineage: bigint[], { after, limit }: Selection = {}): Promise<Held[]> {
  type Row = { prompt_id: bigint; name: string; version_id: string; number: number; label: string | null } & OriginRow
  const rows = await db.$queryRaw<(Row & { content_hash: string | null })[]>`
    SELECT p.id AS prompt_id, p.name, v.id::text AS version_id, v.number, v.label, v.content_hash, held.source_id, held.path
    FROM (${latestEntries(lineage)}) held
    JOIN versions v ON v.id = held.version_id
    JOIN prompts p ON p.id = held.prompt_id
    ${after === undefined ? Prisma.empty : Prisma.sql`WHERE p.name > ${after}`}
    ORDER BY p.name
    ${limit === undefined ? Prisma.empty : Prisma.sql`LIMIT ${limit}`}`
  return rows.map((row) => ({
    promptId: row.prompt_id,
    name: row.name,
    versionId: row.version_id,
    number: row.number,
    label: row.label,
    contentHash: row.content_hash,
    origin: toOrigin(row),
  }))
}

export type OriginRow = { source_id: bigint | null; path: string | null }

export function toOrigin({ source_id: sourceId, path }: OriginRow): Origin | null {
  return sourceId === null || path === null ? null : { sourceId, path }
}

export function isSameOrigin(one: Origin | null, other: Origin | null): boolean {
  return one?.sourceId === other?.sourceId && one?.path === other?.path
}

export async function countSnapshot(db: Db, lineage: bigint[]): Promise<number> {
  const [row] = await db.$queryRaw<{ count: bigint }[]>`
    SELECT count(version_id) AS count FROM (${latestEntries(lineage)}) held`
  return Number(row?.count ?? 0)
}

/** The ids from the last checkpoint to a release made on `base`. */
export function lineageOn(base: Line | null, id: bigint): { lineage: bigint[]; isCheckpoint: boolean } {
  const isCheckpoint = base !== null && base.lineage.length >= checkpointEvery
  return { lineage: base && !isCheckpoint ? [...base.lineage, id] : [id], isCheckpoint }
}

/**
 * Stores the entries of release `id`: the changes alone, or, where it is a checkpoint, the whole snapshot of `base`
 * with the changes in place.
 */
export async function writeEntries(db: Db, id: bigint, base: Line | null, changes: SnapshotChange[]): Promise<void> {
  const rows = JSON.stringify(
    changes.map(({ promptId, versionId, origin }) => ({
      ...{ p: promptId.toString(), v: versionId },
      ...(origin ? { s: origin.sourceId.toString(), f: origin.path } : {}),
    })),
  )
  if (base === null || !lineageOn(base, id).isCheckpoint) {
    await db.$executeRaw`
      INSERT INTO release_entries (release_id, prompt_id, version_id, source_id, path)
      SELECT ${id}::bigint, p, v, s, f FROM json_to_recordset(${rows}::json) AS changed(p bigint, v uuid, s bigint, f text)`
    return
  }
  await db.$executeRaw`
    WITH changed AS (SELECT p, v, s, f FROM json_to_recordset(${rows}::json) AS row(p bigint, v uuid, s bigint, f text))
    INSERT INTO release_entries (release_id, prompt_id, version_id, source_id, path)
    SELECT ${id}::bigint, p, v, s, f FROM changed WHERE v IS NOT NULL
    UNION ALL
    SELECT ${id}::bigint, held.prompt_id, held.version_id, held.source_id, held.path FROM (${latestEntries(base.lineage)}) held
    WHERE held.version_id IS NOT NULL AND held.prompt_id NOT IN (SELECT p FROM changed)`
}
