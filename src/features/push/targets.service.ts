import type { Db } from '../../database/connect.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import { parseNumber } from '../../lib/names.js'
import { type IncludeEdge, reachableEdges } from '../includes/includes.service.js'
import { heldVersion } from '../releases/snapshots.service.js'

/** A version that can be included. */
export type Target = {
  versionId: string
  name: string
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  /** Null once the version is purged. */
  contentHash: string | null
  /** Whether it or anything it includes is purged: whatever includes it answers 410. */
  isPurged: boolean
  bytes: number
  /** How many versions deep its includes go. */
  depth: number
  /** Every reference it reaches with the version that got, and the bytes of that. */
  reach: ReadonlyMap<string, number>
}

/** The versions that references can get apart from what is pushed. */
export type TargetIndex = {
  /** What the lineage holds, by name. */
  held: ReadonlyMap<string, Target>
  /** What `name@ref` names, by the whole reference. */
  pinned: ReadonlyMap<string, Target>
  byId: ReadonlyMap<string, Target>
}

/** Reads what `references` name along a lineage, and the versions `versionIds`. */
export async function loadTargets(
  db: Db,
  project: Project,
  lineage: bigint[],
  { references, versionIds }: { references: Iterable<string>; versionIds: string[] },
): Promise<TargetIndex> {
  const all = [...new Set(references)]
  const held = await findHeld(
    db,
    project,
    lineage,
    all.filter((reference) => !isPinned(reference)),
  )
  const pinned = await findPinned(db, project, all.filter(isPinned))
  const byId = await readTargets(db, [...new Set([...held.values(), ...pinned.values(), ...versionIds])])
  const pick = (ids: Map<string, string>) =>
    new Map(
      [...ids].flatMap(([reference, id]) => {
        const target = byId.get(id)
        return target ? [[reference, target] as const] : []
      }),
    )
  return { held: pick(held), pinned: pick(pinned), byId }
}

/** `name@ref`: a version or release by number or label, which cannot come to mean another. */
export function isPinned(reference: string): boolean {
  return reference.includes('@')
}

type IdRow = { reference: string; id: string | null }

const idsOf = (rows: IdRow[]) => new Map(rows.flatMap(({ reference, id }) => (id === null ? [] : [[reference, id] as const])))

async function findHeld(db: Db, project: Project, lineage: bigint[], names: string[]): Promise<Map<string, string>> {
  if (names.length === 0) return new Map()
  return idsOf(
    await db.$queryRaw<IdRow[]>`
      SELECT p.name AS reference, (${heldVersion(Prisma.sql`${lineage}`, Prisma.sql`p.id`)})::text AS id
      FROM prompts p WHERE p.project_id = ${project.id} AND p.name = ANY(${names})`,
  )
}

async function findPinned(db: Db, project: Project, references: string[]): Promise<Map<string, string>> {
  if (references.length === 0) return new Map()
  const wanted = references.map((reference) => {
    const [name = '', ref = ''] = reference.split('@')
    return { reference, name, ref, version: parseNumber('v', ref), release: parseNumber('r', ref) }
  })
  return idsOf(
    await db.$queryRaw<IdRow[]>`
      SELECT wanted.reference, coalesce(
        (SELECT v.id FROM versions v WHERE v.prompt_id = p.id AND v.label = wanted.ref),
        (SELECT v.id FROM versions v WHERE v.prompt_id = p.id AND v.number = wanted.version),
        (SELECT (${heldVersion(Prisma.sql`r.lineage`, Prisma.sql`p.id`)}) FROM releases r
          WHERE r.project_id = ${project.id} AND (r.label = wanted.ref OR r.number = wanted.release)
          ORDER BY r.label = wanted.ref DESC NULLS LAST LIMIT 1))::text AS id
      FROM json_to_recordset(${JSON.stringify(wanted)}::json) AS wanted(reference text, name text, ref text, version int, release int)
      JOIN prompts p ON p.project_id = ${project.id} AND p.name = wanted.name`,
  )
}

type TargetRow = Omit<Target, 'depth' | 'reach' | 'isPurged'>

/** The versions with all they reach. */
async function readTargets(db: Db, ids: string[]): Promise<Map<string, Target>> {
  if (ids.length === 0) return new Map()
  const edges = await db.$queryRaw<IncludeEdge[]>`
    ${reachableEdges(Prisma.sql`= ANY(${ids}::uuid[])`)}
    SELECT version_id::text AS "from", reference, target_id::text AS "to" FROM edge`
  const rows = await db.$queryRaw<TargetRow[]>`
    SELECT v.id::text AS "versionId", p.name, v.type, v.template, v.content_hash AS "contentHash",
      coalesce(octet_length(v.content), 0) AS bytes
    FROM versions v JOIN prompts p ON p.id = v.prompt_id
    WHERE v.id = ANY(${[...new Set([...ids, ...edges.map(({ to }) => to)])]}::uuid[])`
  const builder = new TargetBuilder(rows, edges)
  return new Map(rows.map(({ versionId }) => [versionId, builder.target(versionId)]))
}

/** Stored versions include each other without cycles and at most as deep as pushes allow. */
class TargetBuilder {
  readonly #rows: Map<string, TargetRow>
  readonly #edges = new Map<string, IncludeEdge[]>()
  readonly #targets = new Map<string, Target>()

  constructor(rows: TargetRow[], edges: IncludeEdge[]) {
    this.#rows = new Map(rows.map((row) => [row.versionId, row]))
    for (const edge of edges) this.#edges.set(edge.from, [...(this.#edges.get(edge.from) ?? []), edge])
  }

  target(id: string): Target {
    const known = this.#targets.get(id)
    if (known) return known
    const row = this.#rows.get(id)
    if (!row) throw new Error(`Version ${id} is included, and is not there.`)
    const included = (this.#edges.get(id) ?? []).map(({ reference, to }) => ({ reference, target: this.target(to) }))
    const isPurged = row.contentHash === null || included.some((other) => other.target.isPurged)
    const target = { ...row, ...extentOf(included), isPurged }
    this.#targets.set(id, target)
    return target
  }
}

/** How deep and how far versions reach that include `included`. */
export function extentOf(included: Iterable<{ reference: string; target: Target }>): Pick<Target, 'depth' | 'reach'> {
  const reach = new Map<string, number>()
  let depth = 0
  for (const { reference, target } of included) {
    depth = Math.max(depth, target.depth + 1)
    reach.set(`${reference} ${target.versionId}`, target.bytes)
    for (const [key, bytes] of target.reach) reach.set(key, bytes)
  }
  return { depth, reach }
}
