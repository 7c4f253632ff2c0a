import type { Deps } from '../../deps.js'
import { AppError, tryLater } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import { commitPattern, parseNumber } from '../../lib/names.js'
import {
  type Finished,
  finish,
  type Mode,
  makePlan,
  type Plan,
  pointedAt,
  type Side,
  servedSide,
  sideOf,
  stillHolds,
} from '../../lib/plan.js'
import {
  linkedVersion,
  type Pointer,
  type Pointers,
  type ProjectRow,
  type ReleasePointer,
  type Stamp,
  type VersionPointer,
} from '../../lib/pointers.js'
import { type HeldProject, keepPlan, planKey, recordKey } from '../../lib/read-cache.js'
import type { Erased, VersionRecord } from '../../lib/version-record.js'
import { loadInRelease, notInRelease, promptNotFound, resolveRef, unknownPrompt } from '../prompts/resolve.service.js'
import { databaseAway, loadOnce, readDatabase } from './database.service.js'
import { refresh } from './held-projects.service.js'
import { findVariables, toRecord, type VersionRow } from './records.service.js'
import { findShared, findSharedRef, type SharedRef, share, shareRef } from './shared.service.js'
import { readAll, readHeld, readVersions } from './statements.service.js'

/** A ref that changes its meaning whenever it is read is given up on. */
const maxAttempts = 3

/** The plan of a ref if it is known and holds; nothing is loaded. */
export function knownPlan({ cache }: Pick<Deps, 'cache'>, { pointers }: HeldProject, name: string, ref: string): Plan | null {
  const plan = cache.entries.get(planKey(`${pointers.project.id}`, name, ref)) as Plan | undefined
  return plan && stillHolds(plan, pointers) ? plan : null
}

/** The plan of a ref. Throws a 404, `commit.ambiguous`, or, where it is not known and cannot be loaded, a 503. */
export async function planFor(deps: Deps, held: HeldProject, name: string, ref: string): Promise<Plan> {
  const known = knownPlan(deps, held, name, ref)
  if (known) {
    deps.cache.counts.hits.memory += 1
    return known
  }
  throwKnownMiss(deps, held, name, ref)
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const { pointers } = held
    const target = pointedAt(pointers, name, ref)
    const loading = target ? loadPointed(deps, pointers, name, ref, target) : loadNamed(deps, held, name, ref)
    const plan = await loading.catch((error: unknown) => throwMiss(deps, pointers, name, ref, error))
    if (plan) {
      // What was resolved while the project changed is right for whoever asked before that, and for nobody after.
      if (plan.stamp === held.pointers.stamp) keepPlan(deps.cache, planKey(`${pointers.project.id}`, name, ref), plan)
      return plan
    }
    if (held.pointers !== pointers) continue
    await explainMiss(deps, pointers, name, ref).catch((error: unknown) => throwMiss(deps, pointers, name, ref, error))
    await refresh(deps, held)
  }
  throw tryLater('database.unavailable', 'The project changes faster than it can be read. Try again.', 1)
}

function throwKnownMiss({ cache }: Deps, { pointers }: HeldProject, name: string, ref: string): void {
  const miss = cache.misses.get(planKey(`${pointers.project.id}`, name, ref))
  if (miss && miss.era === pointers.era && miss.epoch === pointers.epoch) throw miss.error
}

/** Keeps what was found out of a ref that names nothing, as of now, and throws it. */
function throwMiss(deps: Deps, { project, era, epoch }: Pointers, name: string, ref: string, error: unknown): never {
  if (error instanceof AppError && error.status < 500) {
    deps.cache.counts.misses += 1
    deps.cache.misses.set(planKey(`${project.id}`, name, ref), { error, era, epoch })
  }
  throw error
}

/** Throws what the database has to say of a ref that nothing was found for; returns where it was made meanwhile. */
function explainMiss(deps: Deps, pointers: Pointers, name: string, ref: string): Promise<void> {
  return load(deps, pointers, `miss ${pointers.era} ${pointers.epoch} ${ref} ${name}`, async () => {
    if (deps.database.isAway()) throw databaseAway()
    const { project } = pointers
    const choice = await resolveRef(deps.db, project, name, ref, () => notFound(deps, project, name))
    if (!('releaseId' in choice)) return
    const { release, version } = await loadInRelease(deps.db, choice.releaseId, choice.promptId)
    if (!version) throw notInRelease(project, name, ref, release)
  })
}

/** Who mistypes a name is told of the nearest one; who tries thousands is not. */
export async function notFound({ db, cache }: Deps, project: Project, name: string): Promise<AppError> {
  return cache.hints.take(`${project.id}`) === 0 ? promptNotFound(db, project, name) : unknownPrompt(project, name)
}

type Target = { by: 'pin'; pointer: Pointer<VersionPointer> } | { by: 'alias'; pointer: Pointer<ReleasePointer> }

/** Null where neither target holds the prompt: whether there is such a prompt at all is for the database to say. */
async function loadPointed(
  deps: Deps,
  pointers: Pointers,
  name: string,
  ref: string,
  { by, pointer }: Target,
): Promise<Plan | null> {
  const before = sidesBefore(deps, pointers, name, ref)
  const load = (target: ReleasePointer | VersionPointer) =>
    'uid' in target
      ? loadSide(deps, pointers, name, target, before)
      : loadVersion(deps, pointers, target.id).then((record) => sideOf(null, record))
  const [stable, side] = await Promise.all([load(pointer.target), pointer.canary && load(pointer.canary.target)])
  if (stable.versionId === null && (side === null || side.versionId === null)) return null
  const canary = pointer.canary && side && { side, basisPoints: pointer.canary.basisPoints, salt: pointer.canary.salt }
  return makePlan({ name, ref, by, stamp: pointers.stamp, stable, canary })
}

/** What a plan that may hold no longer knew. */
export function sidesBefore({ cache }: Deps, { project, era }: Pointers, name: string, ref: string): Side[] {
  const earlier = cache.entries.get(planKey(`${project.id}`, name, ref)) as Plan | undefined
  if (earlier?.stamp.era !== era) return []
  return earlier.canary ? [earlier.stable, earlier.canary.side] : [earlier.stable]
}

/** The id of the version that a release holds, told from what is known of another one; undefined where that cannot be told. */
export function versionByLinks(
  pointers: Pointers,
  name: string,
  { uid }: ReleasePointer,
  before: readonly Side[],
): string | null | undefined {
  for (const { release, versionId } of before) {
    if (!release) continue
    const linked = linkedVersion(pointers, uid, name, { uid: release.uid, versionId })
    if (linked !== undefined) return linked
  }
  return undefined
}

/** What a release holds of a prompt: told from what is known of another release, from the shared cache, or from the database. */
async function loadSide(
  deps: Deps,
  pointers: Pointers,
  name: string,
  release: ReleasePointer,
  before: readonly Side[],
): Promise<Side> {
  const versionId = versionByLinks(pointers, name, release, before)
  if (versionId === null) return sideOf(release, null)
  if (versionId !== undefined) return sideOf(release, await loadVersion(deps, pointers, versionId))
  return sideOf(release, await loadHeld(deps, pointers, name, release))
}

/** One load at a time of each content; the flights tell those of one project and purge from others. */
function load<T>(deps: Deps, { project, purges }: Stamp, what: string, work: () => Promise<T>): Promise<T> {
  return loadOnce(deps, `${project.id} ${purges} ${what}`, work)
}

/** A load that began before a purge answers whoever asked before it, and is not kept: what was erased stays in no memory. */
export function keepRecord({ cache }: Deps, stamp: Stamp, record: VersionRecord): VersionRecord {
  const { purges } = cache.projects.peek(`${stamp.project.id}`)?.pointers ?? stamp
  if (purges === stamp.purges) cache.entries.set(recordKey(stamp, record.id), record)
  return record
}

function loadHeld(deps: Deps, pointers: Pointers, name: string, release: ReleasePointer): Promise<VersionRecord | null> {
  const { hits } = deps.cache.counts
  const as = { release: release.uid, name }
  return load(deps, pointers, `held ${release.uid} ${name}`, async () => {
    const shared = await findShared(deps, pointers, as)
    if (shared) {
      hits.redis += 1
      return keepRecord(deps, pointers, shared)
    }
    const { project } = pointers
    const row = await readDatabase<VersionRow | false>(deps, readHeld, [release.id, release.uid, `${project.id}`, name])
    if (row === false) throw await notFound(deps, project, name)
    if (!row) return null
    hits.database += 1
    const record = toRecord(row)
    if (record.erased === null) findVariables(deps, record, 0)
    share(deps, pointers, as, record)
    return keepRecord(deps, pointers, record)
  })
}

/** A version by its id. Throws a 503 where it is not known and cannot be loaded. */
function loadVersion(deps: Deps, stamp: Stamp, id: string): Promise<VersionRecord> {
  const { entries, counts } = deps.cache
  const known = entries.get(recordKey(stamp, id)) as VersionRecord | undefined
  if (known) return Promise.resolve(known)
  return load(deps, stamp, `version ${id}`, async () => {
    const shared = await findShared(deps, stamp, { version: id })
    if (shared) {
      counts.hits.redis += 1
      return keepRecord(deps, stamp, shared)
    }
    const [row] = (await readDatabase<VersionRow[]>(deps, readVersions, [[id]])) ?? []
    if (!row) throw new AppError('ref.not_found', 'What the ref names was erased a moment ago, with its project.')
    counts.hits.database += 1
    const record = toRecord(row)
    share(deps, stamp, { version: id }, record)
    return keepRecord(deps, stamp, record)
  })
}

type Held = { release: { id: string; uid: string; number: number; label: string | null }; versionId: string | null }

/** What a cold read answers of a ref. */
export type FoundRow = {
  archived: boolean
  exact: string | null
  latest: string | null
  held: Partial<Record<'alias' | 'canary' | 'release' | 'commit', Held>> | null
  versions: VersionRow[] | null
}

/** What a cold read asks for, in the order of its parameters. */
export function readAllValues(
  access: { hash: Uint8Array | null; slug: string | null; id: string | null },
  known: Pick<Pointers, 'epoch' | 'token' | 'purges'> | null,
  wanted: { name: string; ref: string } | null,
): unknown[] {
  const { name = null, ref = null } = wanted ?? {}
  const commit = ref !== null && commitPattern.test(ref) ? ref.toLowerCase() : null
  const numbers = [ref === null ? null : parseNumber('v', ref), ref === null ? null : parseNumber('r', ref)]
  return [
    access.hash,
    access.slug,
    access.id,
    known?.epoch ?? -1,
    known?.token ?? '00000000-0000-0000-0000-000000000000',
    name,
    ref,
    ...numbers,
    commit,
    commit && `${commit}g`,
    known?.purges ?? 0,
  ]
}

/** A label, number, commit or `latest`; null where the database knows none of that name. */
async function loadNamed(deps: Deps, held: HeldProject, name: string, ref: string): Promise<Plan | null> {
  const { pointers } = held
  const id = `${pointers.project.id}`
  return load(deps, pointers, `named ${pointers.era} ${pointers.epoch} ${ref} ${name}`, async () => {
    const shared = await findSharedRef(deps, pointers, name, ref)
    if (shared) {
      deps.cache.counts.hits.redis += 1
      keepRecord(deps, pointers, shared.record)
      return planOf(pointers, name, ref, shared)
    }
    const values = readAllValues({ hash: null, slug: null, id }, pointers, { name, ref })
    const answer = await readDatabase<{ project: ProjectRow | null; found: FoundRow | null }>(deps, readAll, values)
    if (answer?.project?.kind !== 'same') {
      // The project has moved on; whatever was found belongs to what it is now.
      await refresh(deps, held)
      return null
    }
    const found = answer.found && adoptFound(deps, pointers, name, ref, answer.found)
    if (!found) return null
    deps.cache.counts.hits.database += 1
    shareRef(deps, pointers, name, ref, found)
    return planOf(pointers, name, ref, found)
  })
}

function planOf(pointers: Pointers, name: string, ref: string, { by, release, record }: SharedRef): Plan {
  return makePlan({ name, ref, by, stamp: pointers.stamp, stable: sideOf(release, record), canary: null })
}

/** Keeps the versions that a cold read brought, and tells what the ref means where no pointer does. */
export function adoptFound(deps: Deps, pointers: Pointers, name: string, ref: string, found: FoundRow): SharedRef | null {
  const records = new Map((found.versions ?? []).map((row) => [row.id, keepRecord(deps, pointers, toRecord(row))]))
  const { exact, held, latest, archived } = found
  const of = (by: SharedRef['by'], versionId: string | null | undefined, release: ReleasePointer | null): SharedRef | null => {
    const record = records.get(versionId ?? '')
    if (!record) return null
    if (record.erased === null) findVariables(deps, record, 0)
    return { by, release, record }
  }
  if (exact) return of('version', exact, null)
  if (pointedAt(pointers, name, ref)) return null
  for (const by of ['release', 'commit'] as const) {
    const target = held?.[by]
    if (target) return of(by, target.versionId, toReleasePointer(target))
  }
  return ref === 'latest' && !archived ? of('latest', latest, null) : null
}

function toReleasePointer({ release: { id, uid, number, label } }: Held): ReleasePointer {
  return { id, uid, ref: label ?? `r${number}` }
}

/** Keeps the plan of what a cold read found, so that the request that caused the read finds it. */
export function keepFound(deps: Deps, pointers: Pointers, { name, ref }: { name: string; ref: string }, found: FoundRow): void {
  const shared = adoptFound(deps, pointers, name, ref, found)
  const plan = shared ? planOf(pointers, name, ref, shared) : pointedPlan(deps, pointers, name, ref, found)
  if (plan) keepPlan(deps.cache, planKey(`${pointers.project.id}`, name, ref), plan)
}

function pointedPlan(deps: Deps, pointers: Pointers, name: string, ref: string, { held }: FoundRow): Plan | null {
  const pointed = pointedAt(pointers, name, ref)
  if (!pointed) return null
  // Null where it is not known: a record may be too large to be kept.
  const sideAt = (release: ReleasePointer | null, versionId: string | null) => {
    if (versionId === null) return sideOf(release, null)
    const record = deps.cache.entries.get(recordKey(pointers, versionId)) as VersionRecord | undefined
    return record ? sideOf(release, record) : null
  }
  const side = (target: ReleasePointer | VersionPointer, at: Held | undefined) => {
    if (!('uid' in target)) return sideAt(null, target.id)
    return at?.release.uid === target.uid ? sideAt(target, at.versionId) : null
  }
  const { by, pointer } = pointed
  const stable = side(pointer.target, held?.alias)
  const other = pointer.canary && side(pointer.canary.target, held?.canary)
  if (!stable?.versionId || (pointer.canary && !other)) return null
  const canary = pointer.canary && other && { side: other, basisPoints: pointer.canary.basisPoints, salt: pointer.canary.salt }
  return makePlan({ name, ref, by, stamp: pointers.stamp, stable, canary })
}

/** Throws what there is to say of a side that has nothing to answer. */
export function refuseSide(project: Project, plan: Plan, side: Side): void {
  const { name, ref } = plan
  if (side.versionId === null) throw notInRelease(project, name, ref, side.release?.ref ?? ref)
  if (side.erased) throw erased(name, side.version ?? '', side.erased)
}

function erased(name: string, version: string, by: Erased): AppError {
  const detail =
    by.by === 'purge'
      ? `Version ${version} of prompt "${name}" was purged: its content is gone for good.`
      : `Version ${version} of prompt "${name}" includes version ${by.version} of "${by.name}", which was purged. Push "${by.name}" anew.`
  return new AppError('version.purged', detail)
}

/** The answer of a plan for a mode and a body of its side, finished if it was not yet. */
export async function finishedFor(deps: Deps, plan: Plan, mode: Mode, body: number): Promise<Finished> {
  const known = plan.outcomes[mode][body]
  if (known) return known
  const record = await recordFor(deps, plan, servedSide(plan, mode))
  findVariables(deps, record, body)
  const finished = finish(plan, mode, body, record)
  finished.grew = (bytes) => {
    plan.sizeBytes += bytes
    keepSize(deps, plan)
  }
  keepSize(deps, plan)
  return finished
}

/** The version of a side. Throws what there is to say of one that has nothing to answer, and a 503 where it cannot be loaded. */
export async function recordFor(deps: Deps, plan: Plan, side: Side): Promise<VersionRecord> {
  const { stamp } = plan
  refuseSide(stamp.project, plan, side)
  const record = await loadVersion(deps, stamp, side.versionId ?? '')
  if (record.erased) throw erased(plan.name, record.version, record.erased)
  return record
}

/** Puts a plan that grew in the place that its size now takes, if it is kept. */
export function keepSize({ cache }: Deps, plan: Plan): void {
  const key = planKey(`${plan.stamp.project.id}`, plan.name, plan.ref)
  if (cache.entries.peek(key) === plan) keepPlan(cache, key, plan)
}
