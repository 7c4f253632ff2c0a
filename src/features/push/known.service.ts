import type { Db } from '../../database/connect.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import { type Held, heldEntry, toOrigin } from '../releases/snapshots.service.js'

/** A prompt as the project has it, with its version in the base and its newest one. */
export type KnownPrompt = {
  id: bigint
  name: string
  title: string | null
  description: string | null
  labels: string[]
  metadata: Record<string, unknown>
  archived: boolean
  versionNumber: number
  inBase: Held | null
  newest: Held | null
}

/** Those of the named prompts that the project has, by name. A look-up each: a join planned before the first ANALYZE takes seconds. */
export async function findKnown(db: Db, project: Project, lineage: bigint[], names: string[]): Promise<Map<string, KnownPrompt>> {
  type Row = Omit<KnownPrompt, 'inBase' | 'newest' | 'versionNumber'> & {
    version_number: number
    newest_id: string | null
    newest_number: number | null
    newest_label: string | null
    newest_hash: string | null
    base_id: string | null
    base_number: number | null
    base_label: string | null
    base_hash: string | null
    base_source_id: bigint | null
    base_path: string | null
  }
  const rows = await db.$queryRaw<Row[]>`
    SELECT p.id, p.name, p.title, p.description, p.labels, p.metadata, p.archived_at IS NOT NULL AS archived, p.version_number,
      newest.id::text AS newest_id, newest.number AS newest_number, newest.label AS newest_label, newest.content_hash AS newest_hash,
      base.id::text AS base_id, base.number AS base_number, base.label AS base_label, base.content_hash AS base_hash,
      held.source_id AS base_source_id, held.path AS base_path
    FROM prompts p
    LEFT JOIN versions newest ON newest.prompt_id = p.id AND newest.number = p.version_number
    LEFT JOIN LATERAL (${heldEntry(Prisma.sql`${lineage}`, Prisma.sql`p.id`)}) held ON true
    LEFT JOIN versions base ON base.id = held.version_id
    WHERE p.project_id = ${project.id} AND p.name = ANY(${names})`
  const newest = ({ id, name, newest_id, newest_number, newest_label, newest_hash }: Row): Held | null =>
    newest_id === null || newest_number === null
      ? null
      : {
          ...{ promptId: id, name, versionId: newest_id, number: newest_number, label: newest_label },
          ...{ contentHash: newest_hash, origin: null },
        }
  const inBase = ({ id, name, base_id, base_number, base_label, base_hash, base_source_id, base_path }: Row): Held | null =>
    base_id === null || base_number === null
      ? null
      : {
          ...{ promptId: id, name, versionId: base_id, number: base_number, label: base_label },
          ...{ contentHash: base_hash, origin: toOrigin({ source_id: base_source_id, path: base_path }) },
        }
  return new Map(
    rows.map((row) => [
      row.name,
      {
        ...{ id: row.id, name: row.name, title: row.title, description: row.description },
        ...{ labels: row.labels, metadata: row.metadata, archived: row.archived, versionNumber: row.version_number },
        inBase: inBase(row),
        newest: newest(row),
      },
    ]),
  )
}
