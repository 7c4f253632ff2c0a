import type { Db } from '../../database/connect.js'
import { AppError } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import type { Pause } from '../../lib/slices.js'
import { type AliasRow, findAliasRow, targetOf } from '../aliases/alias-rows.service.js'
import { refuseMove } from '../aliases/aliases.service.js'
import { findIncluders, stillIncluded } from '../includes/includes.service.js'
import { type PlannedChange, regressions } from '../releases/regressions.service.js'
import { findByLabelOrNumber, findNewestRelease, type ReleaseRow, resolveRelease } from '../releases/releases.service.js'
import { type Held, isSameOrigin, readSnapshot } from '../releases/snapshots.service.js'
import { checkComposed } from './composed-check.service.js'
import { compose, type PlannedPrompt } from './composition.service.js'
import { changesRouting, isOwned, type Owners, originOf, readOwners, refuseOwned, takenOver } from './ownership.service.js'
import type { PreparedPush } from './prepare.service.js'
import type { PreparedPrompt, Remark } from './read.service.js'

/** What a push would do, found by reading alone. */
export type PushPlan = {
  /** The release that answers the push as it is, or null where one is to be made on `base`. */
  existing: ReleaseRow | null
  base: ReleaseRow | null
  /** The pushed prompts as they came, then those that follow what they include. */
  prompts: PlannedPrompt[]
  removed: Held[]
  alias: { row: AliasRow | null; moves: boolean } | null
  warnings: Remark[]
}

const noLineage: bigint[] = []

/** What planning takes of the dependencies. */
type Planning = { db: Db; pause: Pause }

/** Decides what a push makes, by reading alone: to be acted on, under the project's lock. Throws the 404s and 409s of the contract. */
export async function planPush(
  deps: Planning,
  project: Project,
  push: PreparedPush,
  ifMatch: string | undefined,
): Promise<PushPlan> {
  const { db } = deps
  const { version: label, alias: aliasName } = push.request
  const aliasRow = aliasName === undefined ? null : await findAliasRow(db, project, aliasName, null)
  const aliasRelease = aliasRow ? await releaseOf(db, aliasRow) : null
  if (label !== undefined) await refuseLabel(db, project, label, aliasName)

  const labelled = label === undefined ? null : await findByLabelOrNumber(db, project, label)
  const content = labelled
    ? await matchLabelled(deps, project, push, labelled)
    : await planContent(deps, project, push, aliasRelease, label !== undefined)

  const from = aliasRelease ?? (labelled ? null : await findNewestRelease(db, project))
  const lost = from ? await regressionsOf(db, from, content) : []
  const warnings = lost.map((message) => ({ code: 'release.regression', path: '', message }))
  const alias =
    aliasName === undefined
      ? null
      : { row: aliasRow, moves: content.existing === null || content.existing.id !== aliasRelease?.id }
  if (alias?.moves) await refuseMove(db, project, { name: aliasName ?? '', ifMatch }, aliasRow)
  return { ...content, alias, warnings: [...content.warnings, ...warnings] }
}

/** The release that a push to an alias builds on if it names no other. */
export async function baseOf(db: Db, project: Project, aliasName: string): Promise<ReleaseRow | null> {
  return (await releaseOfAlias(db, project, aliasName)) ?? (await findNewestRelease(db, project))
}

/** The release that an alias points to; null where it is not there, or a canary's end left it nowhere. */
export async function releaseOfAlias(db: Db, project: Project, aliasName: string): Promise<ReleaseRow | null> {
  const row = await findAliasRow(db, project, aliasName, null)
  return row && releaseOf(db, row)
}

type Content = Pick<PushPlan, 'existing' | 'base' | 'prompts' | 'removed' | 'warnings'>

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
async function matchLabelled(deps: Planning, project: Project, push: PreparedPush, labelled: ReleaseRow): Promise<Content> {
  const { prompts } = await compose({ ...deps, project, lineage: labelled.lineage }, push.prompts, [])
  const different =
    prompts.find(({ known, versionId }) => known?.inBase?.versionId !== versionId)?.pushed.name ??
    (push.request.prune ? await findUnpushed(deps.db, labelled, push) : undefined)
  if (different === undefined) return { existing: labelled, base: labelled, prompts, removed: [], warnings: [] }
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
  deps: Planning,
  project: Project,
  push: PreparedPush,
  aliasRelease: ReleaseRow | null,
  hasNewLabel: boolean,
): Promise<Content> {
  const { db } = deps
  const newest = await findNewestRelease(db, project)
  const baseRef = push.request.base
  const base = baseRef === undefined ? (aliasRelease ?? newest) : await resolveRelease(db, project, baseRef)
  const { prompts, removed, warnings } = await composeOn(deps, project, base, push)
  const changes = plannedChanges(prompts, removed)
  const isNew =
    hasNewLabel ||
    base === null ||
    prompts.some((planned) => planned.reused === null || changesOrigin(planned, push)) ||
    (push.sync !== null && (await changesRouting(db, base.lineage, push.sync)))
  // What a source brings lies in the releases of its line alone: others route in other ways.
  const others = push.sync ? [] : [aliasRelease, newest]
  const existing = isNew ? null : await findEqual(db, base, changes, others)
  // Without an equal one the change, of prompts that go alone perhaps, makes a release of its own.
  return { existing, base, prompts, removed, warnings }
}

/** Whether somebody else brings the prompt from now on, or as another file. */
function changesOrigin(planned: PlannedPrompt, push: Pick<PreparedPush, 'sync'>): boolean {
  return !isSameOrigin(originOf(planned, push.sync), planned.known?.inBase?.origin ?? null)
}

/** Resolves what the prompts include on a base, and which of its prompts go or follow. */
async function composeOn(
  deps: Planning,
  project: Project,
  base: ReleaseRow | null,
  push: Pick<PreparedPush, 'request' | 'prompts' | 'sync'>,
): Promise<Pick<Content, 'prompts' | 'removed' | 'warnings'>> {
  const { db } = deps
  const owners = await readOwners(db, project)
  const removed = base ? await findRemoved(db, base, push, owners) : []
  if (base) await refuseIncluded(db, project, base, push.prompts, removed)
  const { prompts, warnings } = await compose({ ...deps, project, lineage: base?.lineage ?? noLineage }, push.prompts, removed)
  refuseOwned(project, prompts, push.sync, owners)
  return { prompts, removed, warnings: [...warnings, ...takenOver(prompts, push.sync), ...(await checkComposed(deps, prompts))] }
}

/**
 * What the base holds and the next release will not: archived prompts, with `prune` whatever is not pushed and no source
 * owns, and of a source that is synced what it brings no more.
 */
async function findRemoved(
  db: Db,
  base: ReleaseRow,
  { prompts, request, sync }: Pick<PreparedPush, 'request' | 'prompts' | 'sync'>,
  owners: Owners,
): Promise<Held[]> {
  const kept = sync ? sync.names : new Set(prompts.map(({ name }) => name))
  const archived = await archivedIn(db, base)
  if (archived.size === 0 && !request.prune && !sync) return []
  const goes = (held: Held) =>
    archived.has(held.promptId) ||
    (request.prune && !isOwned(held, owners)) ||
    (sync !== null && held.origin?.sourceId === sync.source.id)
  return (await readSnapshot(db, base.lineage)).filter((held) => !kept.has(held.name) && goes(held))
}

/** What others of the next release include cannot be dropped from under them; those that are pushed get theirs anew. */
async function refuseIncluded(
  db: Db,
  project: Project,
  base: ReleaseRow,
  pushed: PreparedPrompt[],
  removed: Held[],
): Promise<void> {
  const gone = new Set([...removed, ...pushed].map(({ name }) => name))
  const targets = removed.map(({ versionId }) => versionId)
  const includers = (await findIncluders(db, project, base.lineage, { targets })).filter(({ name }) => !gone.has(name))
  if (includers.length > 0) throw stillIncluded(includers)
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
  const created = prompts.flatMap(({ known, reused, follows, versionId, contentHash }): PlannedChange[] => {
    if (!known || reused) return []
    // What follows keeps the content that the base had of it.
    const number = (follows ? known.inBase?.number : null) ?? known.versionNumber + 1
    return [
      {
        promptId: known.id,
        held: { promptId: known.id, name: known.name, versionId, number, label: null, contentHash, origin: null },
      },
    ]
  })
  // On its own base a push can only lose what it removes.
  if (from.id === base?.id && removed.length === 0) return []
  return regressions(db, from.lineage, base?.lineage ?? noLineage, [...plannedChanges(prompts, removed), ...created])
}
