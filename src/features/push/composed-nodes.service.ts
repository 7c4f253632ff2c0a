import type { Db } from '../../database/connect.js'
import type { Project } from '../../lib/access.js'
import { contentHash, type VersionContent } from '../../lib/content-hash.js'
import { versionReferences } from '../../lib/references.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import { findIncluders } from '../includes/includes.service.js'
import { findKnown, type KnownPrompt } from './known.service.js'
import type { PreparedPrompt } from './read.service.js'

/** A prompt that gets its includes anew: a pushed one, or one of the base that includes what may change. */
export type ComposedNode = {
  prompt: PreparedPrompt
  known: KnownPrompt | null
  isPushed: boolean
  /** What its version in the base and its newest one got, by reference. */
  stored: Map<string, Map<string, string | null>>
}

/** What prompts are composed on: a release's lineage. `pause` lets other work have its turn. */
export type Ground = { db: Db; project: Project; lineage: bigint[]; pause: Pause }

/** Followers are read so many at a time, with all their content. */
const chunkSize = 25

/** By name: pushed prompts as they come, then those that may have to follow them, by name. */
export async function findNodes(
  ground: Ground,
  pushed: PreparedPrompt[],
  removed: ReadonlySet<string>,
): Promise<Map<string, ComposedNode>> {
  const { db, project, lineage } = ground
  const known = await findKnown(
    db,
    project,
    lineage,
    pushed.map(({ name }) => name),
  )
  const nodes = new Map<string, ComposedNode>()
  for (const prompt of pushed) {
    nodes.set(prompt.name, { prompt, known: known.get(prompt.name) ?? null, isPushed: true, stored: new Map() })
  }
  const followers: ComposedNode[] = []
  // One that names others may change although its own content does not.
  let changing = [...nodes.values()].filter(
    ({ prompt, known }) => prompt.references.length > 0 || known?.inBase?.contentHash !== prompt.contentHash,
  )
  // Every round goes one level up, and levels are few.
  while (changing.length > 0) {
    const found = await findIncluders(db, project, lineage, {
      targets: changing.flatMap(({ known }) => known?.inBase?.versionId ?? []),
      absent: changing.flatMap(({ prompt, known }) => (known?.inBase ? [] : prompt.name)),
    })
    const names = found.map(({ name }) => name).filter((name) => !nodes.has(name) && !removed.has(name))
    changing = await readFollowers(ground, names)
    for (const node of changing) {
      nodes.set(node.prompt.name, node)
      followers.push(node)
    }
  }
  for (const { prompt } of followers) nodes.delete(prompt.name)
  for (const node of followers.sort((a, b) => (a.prompt.name < b.prompt.name ? -1 : 1))) nodes.set(node.prompt.name, node)
  await readStored(db, nodes)
  return nodes
}

type ContentRow = VersionContent & { id: string; name: string; path: string | null }

/** Versions of the base as if they were pushed again. */
async function readFollowers({ db, project, lineage, pause }: Ground, names: string[]): Promise<ComposedNode[]> {
  const followers: ComposedNode[] = []
  for (let start = 0; start < names.length; start += chunkSize) {
    const known = await findKnown(db, project, lineage, names.slice(start, start + chunkSize))
    const ids = [...known.values()].flatMap(({ inBase }) => inBase?.versionId ?? [])
    const rows = await db.$queryRaw<ContentRow[]>`
      SELECT v.id::text, v.type, v.template, v.content, v.messages, v.config, v.inputs, v.variants, v.path, p.name
      FROM versions v JOIN prompts p ON p.id = v.prompt_id WHERE v.id = ANY(${ids}::uuid[])`
    const read = await mapInSlices(rows, pause, (row): ComposedNode => {
      return { prompt: toPrepared(row), known: known.get(row.name) ?? null, isPushed: false, stored: new Map() }
    })
    for (const node of read) followers.push(node)
  }
  return followers
}

function toPrepared({ name, path, type, template, content, messages, config, inputs, variants }: ContentRow): PreparedPrompt {
  const version = { type, template, content, messages, config, inputs, variants }
  const references = versionReferences(version)
  return { name, where: '', path, fields: {}, content: version, contentHash: contentHash(version), references, locate: null }
}

/** Versions that got nothing have no entry. */
async function readStored(db: Db, nodes: ReadonlyMap<string, ComposedNode>): Promise<void> {
  const byVersion = new Map<string, ComposedNode>()
  for (const node of nodes.values()) {
    if (node.prompt.references.length === 0) continue
    for (const held of [node.known?.inBase, node.known?.newest]) if (held) byVersion.set(held.versionId, node)
  }
  if (byVersion.size === 0) return
  const rows = await db.$queryRaw<{ version_id: string; reference: string; target_id: string | null }[]>`
    SELECT version_id::text, reference, target_id::text FROM version_includes
    WHERE version_id = ANY(${[...byVersion.keys()]}::uuid[]) ORDER BY version_id, reference`
  for (const { version_id, reference, target_id } of rows) {
    const stored = byVersion.get(version_id)?.stored
    const edges = stored?.get(version_id) ?? new Map<string, string | null>()
    stored?.set(version_id, edges.set(reference, target_id))
  }
}
