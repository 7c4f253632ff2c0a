import { setTimeout as delay } from 'node:timers/promises'
import type { Deps } from '../../deps.js'
import { type Pointers, type ProjectRow, type ReleaseLink, toPointers, unlinked, withLinks } from '../../lib/pointers.js'
import { forgetContents, type HeldProject, planKey, recordKey } from '../../lib/read-cache.js'
import { readDatabase } from './database.service.js'
import { toRecord, type VersionRow } from './records.service.js'
import { sharePointers } from './shared.service.js'
import { maxChanged, readDifference, readProject, readVersions } from './statements.service.js'

/** A read waits this long for a project to be confirmed, then says that it was not. */
export const confirmWaitMs = 250
/** What another instance announced is served as it was for this long while it is read. */
const announcedMs = 500
/** A refresh compares this many releases, and loads this many versions ahead. */
const maxLinks = 8
const maxAhead = 500

/** Begins to hold a project as it was read. */
export function hold(deps: Deps, row: Exclude<ProjectRow, { kind: 'same' }>, startedAtMs: number): HeldProject {
  const held = newlyHeld(deps, toPointers(row, null), startedAtMs)
  // Contents of when it was held before may still be there, and what was erased since with them.
  if (row.purges > 0) forgetErased(deps, row.id)
  keepHeld(deps, held)
  return held
}

/** Begins to hold a project as another instance knew it, which nobody has confirmed. */
export function holdShared(deps: Deps, pointers: Pointers): HeldProject {
  const held = newlyHeld(deps, pointers, deps.elapsed() - deps.config.maxStalenessMs)
  deps.cache.projects.set(`${pointers.project.id}`, held)
  deps.cache.slugs.set(pointers.project.slug, `${pointers.project.id}`)
  return held
}

function newlyHeld(deps: Deps, pointers: Pointers, confirmedAtMs: number): HeldProject {
  const nowMs = deps.elapsed()
  const times = { confirmedAtMs, confirmedByMs: nowMs, outdated: null, usedAtMs: nowMs }
  return { pointers, ...times, refreshing: null, listeners: new Set() }
}

function keepHeld(deps: Deps, held: HeldProject): void {
  const { id, slug } = held.pointers.project
  deps.cache.projects.delete(`${id}`)
  deps.cache.projects.set(`${id}`, held)
  if (!deps.cache.projects.has(`${id}`)) {
    // Links are the only part of it that can be done without.
    held.pointers = { ...held.pointers, links: new Map() }
    deps.cache.projects.set(`${id}`, held)
  }
  deps.cache.slugs.set(slug, `${id}`)
  sharePointers(deps, held.pointers)
}

/** Whether what is held of a project was current a moment ago. */
export function isConfirmed({ config }: Deps, { confirmedAtMs, outdated }: HeldProject, nowMs: number): boolean {
  return nowMs - confirmedAtMs < config.maxStalenessMs && (outdated === null || nowMs - outdated.sinceMs < announcedMs)
}

/**
 * Makes sure that a project is current, if that can be done soon. Answers null, or the whole seconds for which it could not
 * be confirmed.
 */
export async function confirm(deps: Deps, held: HeldProject): Promise<number | null> {
  held.usedAtMs = deps.elapsed()
  if (isConfirmed(deps, held, held.usedAtMs)) return null
  if (!deps.database.isAway()) {
    const waiting = new AbortController()
    const underWay = held.outdated === null ? held.refreshing : null
    const refreshed = (underWay ?? refresh(deps, held)).catch((error: unknown) => {
      deps.log.debug({ err: error }, 'A project could not be confirmed.')
    })
    await Promise.race([
      refreshed,
      delay(confirmWaitMs, undefined, { signal: waiting.signal, ref: false }).catch(() => undefined),
    ])
    waiting.abort()
  }
  const nowMs = deps.elapsed()
  return isConfirmed(deps, held, nowMs) ? null : Math.max(0, Math.floor((nowMs - held.confirmedAtMs) / 1_000))
}

/** Notes that a project changed: by others, who announced it, or here, where nothing of before is to be served unmarked. */
export function outdate(deps: Deps, held: HeldProject, by: 'others' | 'us'): void {
  const sinceMs = by === 'us' ? Number.NEGATIVE_INFINITY : deps.elapsed()
  held.outdated = { sinceMs: Math.min(held.outdated?.sinceMs ?? sinceMs, sinceMs) }
}

/** Reads what changed in a project, by a query that begins after this call. Rejects where the database cannot be asked. */
export async function refresh(deps: Deps, held: HeldProject): Promise<void> {
  const before = held.refreshing
  if (before) await before.catch(() => undefined)
  // Whoever waited as long joins the one that began meanwhile.
  held.refreshing ??= readChanges(deps, held).finally(() => {
    held.refreshing = null
  })
  return held.refreshing
}

async function readChanges(deps: Deps, held: HeldProject): Promise<void> {
  const { project, epoch, token } = held.pointers
  const startedAtMs = deps.elapsed()
  const { outdated } = held
  const row = await readDatabase<ProjectRow>(deps, readProject, [`${project.id}`, epoch, token])
  // An answer of before may come late; only one that was asked for since tells that the database went back.
  const isLate = row !== null && Number(row.epoch) < held.pointers.epoch && startedAtMs <= held.confirmedByMs
  if (isLate) return
  if (row) await adopt(deps, held, row, startedAtMs)
  else vanish(deps, held, startedAtMs)
  if (held.outdated === outdated) held.outdated = null
}

/** A database restored from before the project was made. */
function vanish(deps: Deps, held: HeldProject, startedAtMs: number): void {
  const { project } = held.pointers
  held.pointers = { ...held.pointers, isDeleted: true }
  forgetErased(deps, `${project.id}`)
  deps.cache.projects.delete(`${project.id}`)
  deps.cache.slugs.delete(project.slug)
  noteConfirmed(deps, held, startedAtMs)
}

/** Whether the database has a project as it is held, and nothing newer was announced. */
export function isSame({ pointers, outdated }: HeldProject, row: { epoch: string; token: string }): boolean {
  return outdated === null && pointers.token === row.token && pointers.epoch === Number(row.epoch)
}

/** A query that began at `startedAtMs` found what is held to be current. */
export function noteConfirmed(deps: Deps, held: HeldProject, startedAtMs: number): void {
  held.confirmedAtMs = Math.max(held.confirmedAtMs, startedAtMs)
  held.confirmedByMs = deps.elapsed()
}

/** Goes over to what was read, once all that it newly points to and somebody asks for is loaded. */
async function adopt(deps: Deps, held: HeldProject, row: ProjectRow, startedAtMs: number): Promise<void> {
  const before = held.pointers
  if (row.kind === 'same') return noteConfirmed(deps, held, startedAtMs)
  const read = toPointers(row, before)
  const after = read.era === before.era ? await connected(deps, before, read) : read
  // Another history of the same project may count its purges alike.
  if (row.kind === 'whole' || after.purges !== before.purges || after.isDeleted) forgetErased(deps, row.id)
  for (const name of row.names ?? []) deps.cache.entries.delete(planKey(row.id, name, 'latest'))
  held.pointers = after
  noteConfirmed(deps, held, startedAtMs)
  keepHeld(deps, held)
  for (const listener of held.listeners) listener()
}

/** What was erased stays in no memory, nor what was made of it. */
export function forgetErased({ cache, renderable }: Deps, projectId: string): void {
  forgetContents(cache, projectId)
  renderable.clear()
}

/** Finds out what differs between releases that take each other's place, so that only that has to be loaded. */
async function connected(deps: Deps, before: Pointers, after: Pointers): Promise<Pointers> {
  const links = new Map<string, ReleaseLink>()
  for (const { from, to } of unlinked(before, after).slice(0, maxLinks)) {
    const changed = await readDatabase<[string, string | null][]>(deps, readDifference, [from.id, to.id])
    if (changed && changed.length <= maxChanged) links.set(to.uid, { from: from.uid, changed: new Map(changed) })
  }
  await loadAhead(deps, after, links)
  return withLinks(after, links)
}

/** Loads the changed versions of those prompts that are asked for by an alias which moved, in one statement. */
async function loadAhead(deps: Deps, pointers: Pointers, links: ReadonlyMap<string, ReleaseLink>): Promise<void> {
  const { entries } = deps.cache
  const ids = new Set<string>()
  for (const [alias, { target, canary }] of pointers.aliases) {
    for (const uid of [target.uid, canary?.target.uid]) {
      for (const [name, versionId] of links.get(uid ?? '')?.changed ?? []) {
        if (versionId === null || ids.size >= maxAhead || entries.has(recordKey(pointers, versionId))) continue
        if (entries.has(planKey(`${pointers.project.id}`, name, alias))) ids.add(versionId)
      }
    }
  }
  if (ids.size === 0) return
  const rows = await readDatabase<VersionRow[]>(deps, readVersions, [[...ids]])
  for (const row of rows ?? []) entries.set(recordKey(pointers, row.id), toRecord(row))
}
