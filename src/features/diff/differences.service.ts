import type { Db } from '../../database/connect.js'
import { refOf } from '../../lib/names.js'
import type { ReleaseRow } from '../releases/releases.service.js'

/** The id of a version, and how answers name it. */
export type NamedVersion = { id: string; ref: string }

/** A prompt that two releases do not hold alike; null where one does not hold it. */
export type Difference = { name: string; from: NamedVersion | null; to: NamedVersion | null }

type Kind = 'added' | 'removed' | 'changed'

/** The first prompts of each kind by name, and how many there are of it in all. */
export type Differences = Record<Kind, Difference[]> & { counts: Record<Kind, number> }

type Row = {
  name: string
  kind: Kind
  total: bigint
  from_id: string | null
  from_number: number | null
  from_label: string | null
  to_id: string | null
  to_number: number | null
  to_label: string | null
}

/** Names the prompts that release `to` holds otherwise than `from` does, at most `limit` of each kind. */
export async function findDifferences(db: Db, from: ReleaseRow, to: ReleaseRow, limit: number): Promise<Differences> {
  const found: Differences = { added: [], removed: [], changed: [], counts: { added: 0, removed: 0, changed: 0 } }
  for (const row of await readDifferences(db, from.lineage, to.lineage, limit)) {
    found.counts[row.kind] = Number(row.total)
    found[row.kind].push({
      name: row.name,
      from: toNamed(row.from_id, row.from_number, row.from_label),
      to: toNamed(row.to_id, row.to_number, row.to_label),
    })
  }
  return found
}

function toNamed(id: string | null, number: number | null, label: string | null): NamedVersion | null {
  return id === null || number === null ? null : { id, ref: refOf('v', { number, label }) }
}

/** Only what releases wrote that one of the two is made on and the other is not can differ. */
async function readDifferences(db: Db, from: bigint[], to: bigint[], limit: number): Promise<Row[]> {
  const apart = [...from.filter((id) => !to.includes(id)), ...to.filter((id) => !from.includes(id))]
  if (apart.length === 0) return []
  return db.$queryRaw<Row[]>`
    WITH touched AS (SELECT DISTINCT prompt_id FROM release_entries WHERE release_id = ANY(${apart})),
    before AS (
      SELECT DISTINCT ON (e.prompt_id) e.prompt_id, e.version_id FROM release_entries e JOIN touched USING (prompt_id)
      WHERE e.release_id = ANY(${from}) ORDER BY e.prompt_id, e.release_id DESC),
    after AS (
      SELECT DISTINCT ON (e.prompt_id) e.prompt_id, e.version_id FROM release_entries e JOIN touched USING (prompt_id)
      WHERE e.release_id = ANY(${to}) ORDER BY e.prompt_id, e.release_id DESC),
    differing AS (
      SELECT prompt_id, before.version_id AS from_id, after.version_id AS to_id,
        CASE WHEN before.version_id IS NULL THEN 'added' WHEN after.version_id IS NULL THEN 'removed' ELSE 'changed' END AS kind
      FROM before FULL JOIN after USING (prompt_id) WHERE after.version_id IS DISTINCT FROM before.version_id),
    placed AS (
      SELECT d.*, p.name, row_number() OVER (PARTITION BY d.kind ORDER BY p.name) AS place, count(*) OVER (PARTITION BY d.kind) AS total
      FROM differing d JOIN prompts p ON p.id = d.prompt_id)
    SELECT placed.name, placed.kind, placed.total, f.id::text AS from_id, f.number AS from_number, f.label AS from_label,
      t.id::text AS to_id, t.number AS to_number, t.label AS to_label
    FROM placed LEFT JOIN versions f ON f.id = placed.from_id LEFT JOIN versions t ON t.id = placed.to_id
    WHERE placed.place <= ${limit} ORDER BY placed.name`
}
