import type { Db } from '../../database/connect.js'
import { AppError } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import { type AliasRow, findAliasRow, targetOf } from '../aliases/alias-rows.service.js'
import { refuseMove } from '../aliases/aliases.service.js'
import { type PlannedChange, regressions } from '../releases/regressions.service.js'
import { findByLabelOrNumber, findNewestRelease, type ReleaseRow, resolveRelease } from '../releases/releases.service.js'
import { type Held, heldVersion, readSnapshot } from '../releases/snapshots.service.js'
import type { PreparedPrompt, PreparedPush } from './prepare.service.js'

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

/** What becomes of one pushed prompt: a version that exists already, or (null) one to be made. */
export type PlannedPrompt = { pushed: PreparedPrompt; known: KnownPrompt | null; reused: Held | null }

/** What a push would do, found by reading alone. */
export type PushPlan = {
  /** The release that answers the push as it is, or null where one is to be made on `base`. */
  existing: ReleaseRow | null
  base: ReleaseRow | null
  prompts: PlannedPrompt[]
  removed: Held[]
  alias: { row: AliasRow | null; moves: boolean } | null
  warnings: string[]
}

const noLineage: bigint[] = []

/** Decides what a push makes, under the project's lock. Throws the 404s and 409s of the contract. */
export async function planPush(db: Db, project: Project, push: PreparedPush, ifMatch: string | undefined): Promise<PushPlan> {
  const { version: label, alias: aliasName } = push.request
  const aliasRow = aliasName === undefined ? null : await findAliasRow(db, project, aliasName, null)
  const aliasRelease = aliasRow ? await releaseOf(db, aliasRow) : null
  if (label !== undefined) await refuseLabel(db, project, label, aliasName)

  const labelled = label === undefined ? null : await findByLabelOrNumber(db, project, label)
  const content = labelled
    ? await matchLabelled(db, project, push, labelled)
    : await planContent(db, project, push, aliasRelease, label !== undefined)

  const from = aliasRelease ?? (labelled ? null : await findNewestRelease(db, project))
  const warnings = from ? await regressionsOf(db, from, content) : []
  const alias =
    aliasName === undefined
      ? null
      : { row: aliasRow, moves: content.existing === null || content.existing.id !== aliasRelease?.id }
  if (alias?.moves) await refuseMove(db, project, { name: aliasName ?? '', ifMatch }, aliasRow)
  return { ...content, alias, warnings: [...push.warnings, ...warnings] }
}

type Content = Pick<PushPlan, 'existing' | 'base' | 'prompts' | 'removed'>

async function releaseOf(db: Db, alias: AliasRow): Promise<ReleaseRow | null> {
  const target = targetOf(alias)
  return target && 'release' in target ? db.release.findUniqueOrThrow({ where: { id: target.release.id } }) : null
}

async function refuseLabel(db: Db, project: Project, label: string, aliasName: string | undefined): Promise<void> {
  const taken =
    label === aliasName ||
    (await db.alias.findFirst({ where: { projectId: project.id, name: label, deletedAt: null }, select: { id: true } }))
  if (taken) {
    throw new AppError(
      'label.taken',
      `"${label}" is an alias of project "${project.slug}", so no release can have it as its label. Choose another label.`,
    )
  }
}

/** A push under a label that exists is answered by its release if that holds the same; else it is refused. */
async function matchLabelled(db: Db, project: Project, push: PreparedPush, labelled: ReleaseRow): Promise<Content> {
  const known = await findKnown(db, project, labelled.lineage, push.prompts)
  const prompts = push.prompts.map((pushed): PlannedPrompt => {
    const prompt = known.get(pushed.name) ?? null
    return { pushed, known: prompt, reused: prompt?.inBase?.contentHash === pushed.contentHash ? prompt.inBase : null }
  })
  const different =
    prompts.find(({ reused }) => reused === null)?.pushed.name ??
    (push.request.prune ? await findUnpushed(db, labelled, push) : undefined)
  if (different === undefined) return { existing: labelled, base: labelled, prompts, removed: [] }
  throw new AppError(
    'label.taken',
    `Label "${labelled.label}" of project "${project.slug}" is release r${labelled.number} already, in which prompt "${different}" is another. Choose a new label.`,
  )
}

async function findUnpushed(db: Db, release: ReleaseRow, push: PreparedPush): Promise<string | undefined> {
  const pushed = new Set(push.prompts.map(({ name }) => name))
  return (await readSnapshot(db, release.lineage)).find(({ name }) => !pushed.has(name))?.name
}

async function planContent(
  db: Db,
  project: Project,
  push: PreparedPush,
  aliasRelease: ReleaseRow | null,
  hasNewLabel: boolean,
): Promise<Content> {
  const { base: baseRef, prune } = push.request
  const newest = await findNewestRelease(db, project)
  const base = baseRef === undefined ? (aliasRelease ?? newest) : await resolveRelease(db, project, baseRef)
  const known = await findKnown(db, project, base?.lineage ?? noLineage, push.prompts)
  const prompts = push.prompts.map((pushed): PlannedPrompt => {
    const prompt = known.get(pushed.name) ?? null
    const reused = [prompt?.inBase, prompt?.newest].find((held) => held?.contentHash === pushed.contentHash) ?? null
    return { pushed, known: prompt, reused }
  })
  const removed = base ? await findRemoved(db, base, push, prune) : []
  const changes = plannedChanges(prompts, removed)
  const isNew = hasNewLabel || base === null || prompts.some(({ reused }) => reused === null)
  const existing = isNew ? null : await findEqual(db, base, changes, [aliasRelease, newest])
  return { existing, base, prompts, removed }
}

/** The pushed prompts that the project has, by name. A look-up each: a join planned before the first ANALYZE takes seconds. */
async function findKnown(
  db: Db,
  project: Project,
  lineage: bigint[],
  pushed: PreparedPrompt[],
): Promise<Map<string, KnownPrompt>> {
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
  }
  const names = pushed.map(({ name }) => name)
  const rows = await db.$queryRaw<Row[]>`
    SELECT p.id, p.name, p.title, p.description, p.labels, p.metadata, p.archived_at IS NOT NULL AS archived, p.version_number,
      newest.id::text AS newest_id, newest.number AS newest_number, newest.label AS newest_label, newest.content_hash AS newest_hash,
      base.id::text AS base_id, base.number AS base_number, base.label AS base_label, base.content_hash AS base_hash
    FROM prompts p
    LEFT JOIN versions newest ON newest.prompt_id = p.id AND newest.number = p.version_number
    LEFT JOIN LATERAL (${heldVersion(Prisma.sql`${lineage}`, Prisma.sql`p.id`)}) held ON true
    LEFT JOIN versions base ON base.id = held.version_id
    WHERE p.project_id = ${project.id} AND p.name = ANY(${names})`
  const held = (
    row: Row,
    versionId: string | null,
    number: number | null,
    label: string | null,
    contentHash: string | null,
  ): Held | null =>
    versionId === null || number === null ? null : { promptId: row.id, name: row.name, versionId, number, label, contentHash }
  return new Map(
    rows.map((row) => [
      row.name,
      {
        ...{ id: row.id, name: row.name, title: row.title, description: row.description },
        ...{ labels: row.labels, metadata: row.metadata, archived: row.archived, versionNumber: row.version_number },
        inBase: held(row, row.base_id, row.base_number, row.base_label, row.base_hash),
        newest: held(row, row.newest_id, row.newest_number, row.newest_label, row.newest_hash),
      },
    ]),
  )
}

/** What the base holds and the next release will not: archived prompts, and with `prune` whatever is not pushed. */
async function findRemoved(db: Db, base: ReleaseRow, push: PreparedPush, prune: boolean): Promise<Held[]> {
  const pushed = new Set(push.prompts.map(({ name }) => name))
  const archived = prune ? null : await archivedIn(db, base)
  if (archived?.size === 0) return []
  const snapshot = await readSnapshot(db, base.lineage)
  return snapshot.filter(({ name, promptId }) => !pushed.has(name) && (archived === null || archived.has(promptId)))
}

async function archivedIn(db: Db, base: ReleaseRow): Promise<Set<bigint>> {
  const rows = await db.$queryRaw<{ id: bigint }[]>`
    SELECT DISTINCT p.id FROM prompts p JOIN release_entries e ON e.prompt_id = p.id AND e.release_id = ANY(${base.lineage})
    WHERE p.project_id = ${base.projectId} AND p.archived_at IS NOT NULL`
  return new Set(rows.map(({ id }) => id))
}

/** What differs from the base, versions to be made aside: they have no id yet. */
export function plannedChanges(prompts: PlannedPrompt[], removed: Held[]): PlannedChange[] {
  return [
    ...prompts.flatMap(({ known, reused }) =>
      known && reused && reused.versionId !== known.inBase?.versionId ? [{ promptId: known.id, held: reused }] : [],
    ),
    ...removed.map(({ promptId }) => ({ promptId, held: null })),
  ]
}

/** The base itself where nothing changes, else the first candidate with the snapshot that would result. */
async function findEqual(
  db: Db,
  base: ReleaseRow,
  changes: PlannedChange[],
  candidates: (ReleaseRow | null)[],
): Promise<ReleaseRow | null> {
  if (changes.length === 0) return base
  const wanted = new Map((await readSnapshot(db, base.lineage)).map(({ promptId, versionId }) => [promptId, versionId]))
  for (const { promptId, held } of changes) {
    if (held) wanted.set(promptId, held.versionId)
    else wanted.delete(promptId)
  }
  for (const candidate of candidates) {
    if (!candidate || candidate.id === base.id) continue
    const snapshot = await readSnapshot(db, candidate.lineage)
    if (snapshot.length === wanted.size && snapshot.every(({ promptId, versionId }) => wanted.get(promptId) === versionId))
      return candidate
  }
  return null
}

/** What is lost where the release of the push takes the place of `from`. */
async function regressionsOf(db: Db, from: ReleaseRow, { existing, base, prompts, removed }: Content): Promise<string[]> {
  if (existing) return regressions(db, from.lineage, existing.lineage)
  const created = prompts.flatMap(({ known, reused, pushed }): PlannedChange[] => {
    if (!known || reused) return []
    const number = known.versionNumber + 1
    return [
      {
        promptId: known.id,
        held: { promptId: known.id, name: known.name, versionId: '', number, label: null, contentHash: pushed.contentHash },
      },
    ]
  })
  // On its own base a push can only lose what it removes.
  if (from.id === base?.id && removed.length === 0) return []
  return regressions(db, from.lineage, base?.lineage ?? noLineage, [...plannedChanges(prompts, removed), ...created])
}
