import type { Statement } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { inParallel } from '../../lib/parallel.js'
import { makePlan, type Plan, type SideFacts, sideOf, stillHolds } from '../../lib/plan.js'
import type { Pointers } from '../../lib/pointers.js'
import { type HeldProject, keepPlan, planKey, recordKey } from '../../lib/read-cache.js'
import type { VersionRecord } from '../../lib/version-record.js'
import { isUnavailable } from '../reads/access.service.js'
import { loadOnce, readDatabase } from '../reads/database.service.js'
import { refresh } from '../reads/held-projects.service.js'
import { keepRecord, knownPlan } from '../reads/plans.service.js'
import { findVariables, toRecord, type VersionRow } from '../reads/records.service.js'
import { share } from '../reads/shared.service.js'
import { readVersions } from '../reads/statements.service.js'
import { findTargets, type Meanings, type Target, type Targets } from './targets.service.js'

/** What was found ahead of names: their plans, or why they have none. What was not is to be looked for name by name. */
export type Ahead = ReadonlyMap<string, Plan | AppError>

/** Fewer names are loaded one by one. */
const minNames = 4
/** One statement brings so many versions, and about so many bytes: its answer is parsed in one turn of the event loop. */
const maxVersions = 25
const maxBytes = 1024 ** 2
/** Other reads want connections as well. */
const statementsAtOnce = 2

/**
 * Makes the plans of those names that are not known yet, by few statements, and keeps them. They are of one state of
 * the project, which is the one that is held when this is called, or a newer one. Throws a 503 where that takes too long.
 */
export async function planAhead(deps: Deps, held: HeldProject, names: readonly string[], ref: string): Promise<Ahead> {
  const cold = names.filter((name) => knownPlan(deps, held, name, ref) === null)
  if (cold.length < minNames || deps.database.isAway()) return new Map()
  try {
    const { pointers, meanings } = await findOut(deps, held, cold, ref)
    const versions = await loadVersions(deps, pointers, [...meanings.values()])
    const ahead = new Map<string, Plan | AppError>()
    for (const [name, meaning] of meanings) {
      const made = meaning instanceof AppError ? meaning : planOf(pointers, { name, ref }, meaning, versions)
      if (made) ahead.set(name, made)
      if (made && 'outcomes' in made && isCurrent(made, held.pointers))
        keepPlan(deps.cache, planKey(`${pointers.project.id}`, name, ref), made)
    }
    return ahead
  } catch (error) {
    // Some of it may be in the shared cache, which is asked name by name.
    if (!isUnavailable(error) || !deps.database.isAway()) throw error
    deps.log.debug({ err: error }, 'Prompts could not be loaded ahead.')
    return new Map()
  }
}

type State = { pointers: Pointers; meanings: Meanings }

/** A project that has moved on elsewhere is read again before its names are asked for once more. */
async function findOut(deps: Deps, held: HeldProject, names: readonly string[], ref: string): Promise<State> {
  for (const _ of ['first', 'again']) {
    const { pointers } = held
    const meanings = await findTargets(deps, held, names, ref)
    if (meanings) return { pointers, meanings }
    await refresh(deps, held)
  }
  return { pointers: held.pointers, meanings: new Map() }
}

/**
 * Whether a plan that was made before is as it would be made now. Of `latest` nobody can tell: what changes it drops the plans
 * that are kept, which this one was not yet.
 */
export function isCurrent(plan: Plan, pointers: Pointers): boolean {
  return plan.stamp === pointers.stamp || (plan.by !== 'latest' && stillHolds(plan, pointers))
}

/** By the id of the version. The contents themselves are left to the cache, which is bounded. */
type Facts = ReadonlyMap<string, SideFacts>

/** Null where a version was erased meanwhile. */
function planOf(
  { stamp }: Pointers,
  named: { name: string; ref: string },
  { by, stable, canary }: Targets,
  versions: Facts,
): Plan | null {
  const sideAt = ({ release, versionId }: Target) => {
    if (versionId === null) return sideOf(release, null)
    const facts = versions.get(versionId)
    return facts ? sideOf(release, facts) : null
  }
  const [first, second] = [sideAt(stable), canary && sideAt(canary.target)]
  if (!first || (canary && !second)) return null
  const other = canary && second && { side: second, basisPoints: canary.basisPoints, salt: canary.salt }
  return makePlan({ ...named, by, stamp, stable: first, canary: other })
}

async function loadVersions(deps: Deps, pointers: Pointers, meanings: (Targets | AppError)[]): Promise<Facts> {
  const facts = new Map<string, SideFacts>()
  const wanted = new Set<string>()
  for (const id of meanings.flatMap(versionIdsOf)) {
    const known = deps.cache.entries.get(recordKey(pointers, id)) as VersionRecord | undefined
    if (known) facts.set(id, factsOf(known))
    else wanted.add(id)
  }
  const chunks = await inChunks(deps, pointers, [...wanted])
  await inParallel(chunks, { atOnce: statementsAtOnce, signal: new AbortController().signal }, async (ids) => {
    // The embedded engine answers within the same turn.
    await deps.pause()
    for (const record of await loadChunk(deps, pointers, ids)) facts.set(record.id, record)
  })
  return facts
}

function versionIdsOf(meaning: Targets | AppError): string[] {
  if (meaning instanceof AppError) return []
  const { stable, canary } = meaning
  return [stable.versionId, canary?.target.versionId].filter((id) => typeof id === 'string')
}

function factsOf({ id, version, tags, erased }: VersionRecord): SideFacts {
  return { id, version, tags, erased }
}

/** About how large the versions of ids `$1` are, in bytes, with what they include themselves. */
const readSizes: Statement = {
  name: 'read_sizes',
  text: `
  SELECT coalesce(json_agg(json_build_array(v.id,
    coalesce(octet_length(v.content), 0) + coalesce(octet_length(v.messages::text), 0) + octet_length(v.variants::text)
    + octet_length(v.config::text) + coalesce(octet_length(v.inputs::text), 0)
    + (SELECT coalesce(sum(octet_length(t.content)), 0) FROM version_includes i JOIN versions t ON t.id = i.target_id
       WHERE i.version_id = v.id))), '[]')::text AS answer
  FROM versions v WHERE v.id = ANY($1::uuid[])`,
}

async function inChunks(deps: Deps, { project, purges }: Pointers, ids: string[]): Promise<string[][]> {
  if (ids.length <= 1) return ids.map((id) => [id])
  const sizes = await loadOnce(deps, `${project.id} ${purges} sizes ${ids.join(' ')}`, () =>
    readDatabase<[id: string, bytes: number][]>(deps, readSizes, [ids]),
  )
  const chunks: { ids: string[]; bytes: number }[] = []
  for (const [id, bytes] of sizes ?? []) {
    const last = chunks.at(-1)
    if (!last || last.ids.length >= maxVersions || last.bytes + bytes > maxBytes) chunks.push({ ids: [id], bytes })
    else {
      last.ids.push(id)
      last.bytes += bytes
    }
  }
  return chunks.map((chunk) => chunk.ids)
}

/** One load at a time of the same versions, as of single ones. */
function loadChunk(deps: Deps, pointers: Pointers, ids: string[]): Promise<SideFacts[]> {
  const { project, purges } = pointers
  return loadOnce(deps, `${project.id} ${purges} versions ${ids.join(' ')}`, async () => {
    const rows = (await readDatabase<VersionRow[]>(deps, readVersions, [ids])) ?? []
    deps.cache.counts.hits.database += rows.length
    const facts: SideFacts[] = []
    for (const row of rows) {
      const record = toRecord(row)
      await deps.pause()
      if (record.erased === null) findVariables(deps, record, 0)
      share(deps, pointers, { version: record.id }, record)
      facts.push(factsOf(keepRecord(deps, pointers, record)))
      await deps.pause()
    }
    return facts
  })
}
