import type { Db } from '../../database/connect.js'
import { Prisma } from '../../generated/prisma/client.js'
import { lineageOn } from './snapshots.service.js'

/** How the files of a source are found in a release. */
export type ReleaseSource = {
  id: bigint
  name: string
  /** What the names of its prompts begin with. */
  prefix: string | null
  /** The text of its PATH file, or null. */
  pathFile: string | null
}

/** The newest row of each source along a lineage. */
const latestSources = (lineage: bigint[]) => Prisma.sql`
  SELECT DISTINCT ON (source_id) source_id AS id, name, prefix, path_file AS "pathFile" FROM release_sources
  WHERE release_id = ANY(${lineage}) ORDER BY source_id, release_id DESC`

/** All sources that a release holds, those that are gone by now included, by name. */
export async function readReleaseSources(db: Db, lineage: bigint[]): Promise<ReleaseSource[]> {
  return db.$queryRaw<ReleaseSource[]>`SELECT * FROM (${latestSources(lineage)}) held ORDER BY name, id`
}

export async function readReleaseSource(db: Db, lineage: bigint[], id: bigint): Promise<ReleaseSource | null> {
  const [held] = await db.$queryRaw<ReleaseSource[]>`SELECT * FROM (${latestSources(lineage)}) held WHERE id = ${id}`
  return held ?? null
}

/** Stores what release `id` changes of its sources; a checkpoint gets those of `base` as well. */
export async function writeReleaseSources(
  db: Db,
  id: bigint,
  base: { id: bigint; lineage: bigint[] } | null,
  changed: ReleaseSource | null,
): Promise<void> {
  const kept =
    base && lineageOn(base, id).isCheckpoint
      ? (await readReleaseSources(db, base.lineage)).filter((source) => source.id !== changed?.id)
      : []
  const data = [...kept, ...(changed ? [changed] : [])].map(({ id: sourceId, name, prefix, pathFile }) => ({
    releaseId: id,
    ...{ sourceId, name, prefix, pathFile },
  }))
  if (data.length > 0) await db.releaseSource.createMany({ data })
}
