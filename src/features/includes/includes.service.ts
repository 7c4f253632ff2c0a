import type { Db } from '../../database/connect.js'
import { AppError } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import { refOf } from '../../lib/names.js'
import { heldVersion } from '../releases/snapshots.service.js'
import type { IncludedPrompts } from './includes.schema.js'

/** One reference of a version, and the version it got. */
export type IncludeEdge = { from: string; reference: string; to: string }

export type IncludedVersion = {
  id: string
  name: string
  number: number
  label: string | null
  template: 'jinja' | 'none'
  content: string | null
  /** Null once the version is purged. */
  contentHash: string | null
}

/** All that a version includes, directly or not. */
export type IncludeGraph = {
  edges: IncludeEdge[]
  versions: IncludedVersion[]
  /** References of the version itself that it does without. */
  absent: string[] | null
}

/** The references of some versions and of all they include, as SQL with the columns of `version_includes`. */
export const reachableEdges = (start: Prisma.Sql) => Prisma.sql`
  WITH RECURSIVE edge AS (
    SELECT i.version_id, i.reference, i.target_id FROM version_includes i WHERE i.version_id ${start} AND i.target_id IS NOT NULL
    UNION
    SELECT i.version_id, i.reference, i.target_id FROM edge JOIN version_includes i ON i.version_id = edge.target_id
    WHERE i.target_id IS NOT NULL)`

/** The `IncludeGraph` of version `v` as JSON, or null where it includes nothing: an expression for a list of columns. */
export const includeGraph = Prisma.sql`(
  ${reachableEdges(Prisma.sql`= v.id`)}
  SELECT json_build_object(
    'edges', json_agg(json_build_object('from', edge.version_id, 'reference', edge.reference, 'to', edge.target_id)),
    'versions', (
      SELECT json_agg(json_build_object('id', t.id, 'name', tp.name, 'number', t.number, 'label', t.label, 'template', t.template,
        'content', t.content, 'contentHash', t.content_hash))
      FROM versions t JOIN prompts tp ON tp.id = t.prompt_id WHERE t.id IN (SELECT target_id FROM edge)),
    'absent', (SELECT json_agg(i.reference) FROM version_includes i WHERE i.version_id = v.id AND i.target_id IS NULL))
  FROM edge HAVING count(*) > 0)`

/** Those of some versions that include, directly or not, what was purged. Their hashes would confirm a guess of it. */
export async function findPurgedWithin(db: Db, ids: string[]): Promise<Set<string>> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT v.id::text FROM versions v WHERE v.id = ANY(${ids}::uuid[]) AND EXISTS (
      ${reachableEdges(Prisma.sql`= v.id`)}
      SELECT 1 FROM edge JOIN versions t ON t.id = edge.target_id AND t.purged_at IS NOT NULL)`
  return new Set(rows.map(({ id }) => id))
}

/** Some versions with all that they include. */
export async function readIncludeGraph(db: Db, ids: string[]): Promise<Pick<IncludeGraph, 'edges' | 'versions'>> {
  if (ids.length === 0) return { edges: [], versions: [] }
  const edges = await db.$queryRaw<IncludeEdge[]>`
    ${reachableEdges(Prisma.sql`= ANY(${ids}::uuid[])`)}
    SELECT version_id::text AS "from", reference, target_id::text AS "to" FROM edge`
  const versions = await db.$queryRaw<IncludedVersion[]>`
    SELECT v.id::text, p.name, v.number, v.label, v.template, v.content, v.content_hash AS "contentHash"
    FROM versions v JOIN prompts p ON p.id = v.prompt_id
    WHERE v.id = ANY(${[...new Set([...ids, ...edges.map(({ to }) => to)])]}::uuid[])`
  return { edges, versions }
}

/**
 * What a prompt includes, flat, for its answers: its own references stand under their own names, and so do those further
 * down where the name is free. The order is that of a walk from the version, so that equal graphs give equal bytes. Throws
 * what `refuse` makes of an included version that is purged.
 */
export function toIncludedPrompts(
  versionId: string,
  graph: IncludeGraph | null,
  refuse: (purged: IncludedVersion) => Error,
): IncludedPrompts {
  if (!graph) return {}
  const versions = new Map(graph.versions.map((version) => [version.id, version]))
  const edges = edgesByStart(graph)
  const absent = new Set(graph.absent)
  const keys = new Map<string, string>()
  /** The reference itself unless it means something else to the prompt; then the name with the number, which is unique. */
  const keyFor = (reference: string, id: string) => {
    const isFree = (keys.get(reference) ?? id) === id && !absent.has(reference)
    const key = isFree ? reference : `${versions.get(id)?.name}@v${versions.get(id)?.number}`
    keys.set(key, id)
    return key
  }
  for (const { reference, to } of edges.get(versionId) ?? []) keys.set(reference, to)
  const included: IncludedPrompts = {}
  // Keys that are added on the way are gone through as well.
  for (const [key, id] of keys) {
    const version = versions.get(id)
    if (!version) throw new Error(`Version ${id} is included, and was not read.`)
    const { content, contentHash, name, template } = version
    if (content === null || contentHash === null) throw refuse(version)
    const references = (edges.get(id) ?? []).map(({ reference, to }) => [reference, keyFor(reference, to)])
    included[key] = {
      ...{ name, version: refOf('v', version), template, content, contentHash },
      includes: Object.fromEntries(references),
    }
  }
  return included
}

function edgesByStart({ edges }: Pick<IncludeGraph, 'edges'>): Map<string, IncludeEdge[]> {
  const byStart = new Map<string, IncludeEdge[]>()
  for (const edge of edges.toSorted((a, b) => (a.reference < b.reference ? -1 : 1))) {
    const others = byStart.get(edge.from)
    if (others) others.push(edge)
    else byStart.set(edge.from, [edge])
  }
  return byStart
}

/** A prompt that includes another one, with the version the release has of it. */
export type Includer = { promptId: bigint; name: string; versionId: string; references: string[] }

/**
 * The prompts along a lineage whose version includes one of `targets` by a reference that follows the release, or does
 * without one of the prompts `absent`, which are not there yet. Purged versions include nothing any more.
 */
export async function findIncluders(
  db: Db,
  project: Project,
  lineage: bigint[],
  { targets, absent = [] }: { targets: string[]; absent?: string[] },
): Promise<Includer[]> {
  if (targets.length + absent.length === 0) return []
  return db.$queryRaw<Includer[]>`
    SELECT p.id AS "promptId", p.name, v.id::text AS "versionId", found.references
    FROM (
      SELECT version_id, array_agg(reference ORDER BY reference) AS references FROM (
        SELECT i.version_id, i.reference FROM version_includes i
        WHERE i.target_id = ANY(${targets}::uuid[]) AND position('@' IN i.reference) = 0
        UNION
        SELECT i.version_id, i.reference FROM version_includes i
        WHERE i.target_id IS NULL AND i.reference = ANY(${absent}::text[])) one
      GROUP BY version_id) found
    JOIN versions v ON v.id = found.version_id AND v.purged_at IS NULL
    JOIN prompts p ON p.id = v.prompt_id AND p.project_id = ${project.id}
    WHERE v.id = (${heldVersion(Prisma.sql`${lineage}`, Prisma.sql`p.id`)})
    ORDER BY p.name`
}

/** The error for prompts that cannot go while others of the same release include them. */
export function stillIncluded(includers: Includer[]): AppError {
  const included = [...new Set(includers.flatMap(({ references }) => references))].map((name) => ({ name }))
  const [what, who] = [listed(included), listed(includers)]
  return new AppError(
    'prompt.included',
    `${what} cannot be dropped or archived while ${who} of the same release ${includers.length > 1 ? 'include' : 'includes'} ${included.length > 1 ? 'them' : 'it'}. Push ${who} without that first, drop ${includers.length > 1 ? 'those' : 'that'} as well, or push ${what} along.`,
  )
}

/** The first few names, and how many more. */
function listed(prompts: { name: string }[]): string {
  const shown = 10
  const names = prompts.slice(0, shown).map(({ name }) => `"${name}"`)
  return prompts.length > shown ? `${names.join(', ')} and ${prompts.length - shown} more` : names.join(', ')
}
