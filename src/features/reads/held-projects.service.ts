import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Deps } from '../../deps.js'
import {
  nextEra,
  type Pointers,
  type ProjectRow,
  type ReleaseLink,
  stamped,
  toPointers,
  unlinked,
  withLinks,
} from '../../lib/pointers.js'
import { forgetContents, forgetSlug, type HeldProject, keepProject, planKey, recordKey } from '../../lib/read-cache.js'
import { readAhead, readDatabase } from './database.service.js'
import { toRecord, type VersionRow } from './records.service.js'
import { sharePointers } from './shared.service.js'
import { maxChanged, readDifference, readEpochs, readProject, readVersions } from './statements.service.js'

/** A read waits this long for a project to be confirmed, then says that it was not. */
export const confirmWaitMs = 250
/** What another instance announced is served as it was for this long while it is read. */
const announcedMs = 500
/** A refresh compares this many releases, and loads this many versions ahead, some in each statement. */
const maxLinks = 8
const maxAhead = 500
const aheadAtOnce = 25
/** It spends no longer on that, which only makes the next reads quicker. */
const aheadMs = 500

/** Begins to hold a project as it was read. */
export function hold(deps: Deps, row: Exclude<ProjectRow, { kind: 'same' }>, startedAtMs: number): HeldProject {
  const held = newlyHeld(deps, toPointers(row, null), startedAtMs)
  // Contents of when it was held before may still be there, and what was erased since with them; so may keys that were
  // revoked since, when it was deleted.
  if (row.purges > 0) {
    forgetErased(deps, row.id)
    forgetKeys(deps, row.id)
  }
  keepHeld(deps, held)
  return held
}

/** Begins to hold a project as another instance knew it, which nobody has confirmed. */
export function holdShared(deps: Deps, pointers: Pointers): HeldProject {
  const held = newlyHeld(deps, pointers, deps.elapsed() - deps.config.maxStalenessMs)
  keepProject(deps.cache, held)
  return held
}

function newlyHeld(deps: Deps, pointers: Pointers, confirmedAtMs: number): HeldProject {
  const nowMs = deps.elapsed()
  const times = { confirmedAtMs, confirmedByMs: nowMs, outdated: null, usedAtMs: nowMs, shareAgainAtMs: nowMs }
  return { pointers, ...times, refreshing: null, listeners: new Set() }
}

function keepHeld(deps: Deps, held: HeldProject): void {
  if (!keepProject(deps.cache, held)) {
    // Links are the only part of it that can be done without.
    held.pointers = { ...held.pointers, links: new Map() }
    keepProject(deps.cache, held)
  }
  shareHeld(deps, held)
}

/** Nobody knows whether what was shared has arrived: it is shared again after so long, not of all projects at once. */
const shareAgainMs = 20 * 60 * 1_000

function shareHeld(deps: Deps, held: HeldProject): void {
  held.shareAgainAtMs = deps.elapsed() + shareAgainMs * (1 + Math.random())
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
  const askedAtMs = deps.elapsed()
  held.usedAtMs = askedAtMs
  if (isConfirmed(deps, held, askedAtMs)) return null
  let isRead = false
  if (!deps.database.isAway()) {
    const waiting = new AbortController()
    const underWay = held.outdated === null ? held.refreshing : null
    const refreshed = (underWay ?? refresh(deps, held)).then(
      () => {
        isRead = underWay === null
      },
      (err: unknown) => deps.log.debug({ err }, 'A project could not be confirmed.'),
    )
    await Promise.race([
      refreshed,
      delay(confirmWaitMs, undefined, { signal: waiting.signal, ref: false }).catch(() => undefined),
    ])
    waiting.abort()
  }
  // What became known since the question, by a write say, need not be in the answer.
  if (isRead && held.confirmedAtMs >= askedAtMs) return null
  const nowMs = deps.elapsed()
  return isConfirmed(deps, held, nowMs) ? null : Math.max(0, Math.floor((nowMs - held.confirmedAtMs) / 1_000))
}

/** Notes that a project changed: by others, who announced it, or here, where nothing of before is to be served unmarked. */
export function outdate(deps: Deps, held: HeldProject, by: 'others' | 'us'): void {
  const sinceMs = by === 'us' ? Number.NEGATIVE_INFINITY : deps.elapsed()
  const { outdated } = held
  held.outdated = {
    sinceMs: Math.min(outdated?.sinceMs ?? sinceMs, sinceMs),
    writes: (outdated?.writes ?? 0) + (by === 'us' ? 1 : 0),
  }
}

/** After a query that began at `startedAtMs`, when `before` was known: what is left to be read became known since. */
function catchUp(held: HeldProject, before: HeldProject['outdated'], startedAtMs: number): void {
  const { outdated } = held
  if (outdated === before || outdated === null) held.outdated = null
  else if (outdated.writes === (before?.writes ?? 0))
    held.outdated = { ...outdated, sinceMs: Math.max(outdated.sinceMs, startedAtMs) }
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
  const { project, epoch, token, purges } = held.pointers
  const startedAtMs = deps.elapsed()
  const { outdated } = held
  const row = await readDatabase<ProjectRow>(deps, readProject, [`${project.id}`, epoch, token, purges], 'confirmation')
  // An answer of before may come late; only one that was asked for since tells that the database went back.
  const isLate = row !== null && Number(row.epoch) < held.pointers.epoch && startedAtMs <= held.confirmedByMs
  if (isLate) return
  if (row) await adopt(deps, held, row, startedAtMs)
  else vanish(deps, held, startedAtMs)
  // Its keys are no good any more.
  if (held.pointers.isDeleted) deps.cache.revocations += 1
  catchUp(held, outdated, startedAtMs)
}

/** A database restored from before the project was made. */
function vanish(deps: Deps, held: HeldProject, startedAtMs: number): void {
  const { project } = held.pointers
  held.pointers = stamped({ ...held.pointers, isDeleted: true, era: nextEra() })
  forgetErased(deps, `${project.id}`)
  forgetKeys(deps, `${project.id}`)
  deps.cache.projects.delete(`${project.id}`)
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
  if (held.confirmedByMs >= held.shareAgainAtMs) shareHeld(deps, held)
}

/** Goes over to what was read, once all that it newly points to and somebody asks for is loaded. */
async function adopt(deps: Deps, held: HeldProject, row: ProjectRow, startedAtMs: number): Promise<void> {
  const before = held.pointers
  if (row.kind === 'same') return noteConfirmed(deps, held, startedAtMs)
  const read = toPointers(row, before)
  const after = read.era === before.era ? await connected(deps, before, read) : read
  // Another history of the same project may count its purges alike, and have other keys; or it was deleted, and made anew.
  if (row.kind === 'whole' || after.purges !== before.purges || after.isDeleted) {
    forgetErased(deps, row.id)
    forgetKeys(deps, row.id)
  }
  for (const name of row.names ?? []) deps.cache.entries.delete(planKey(row.id, name, 'latest'))
  held.pointers = after
  noteConfirmed(deps, held, startedAtMs)
  // In another history the project of an id may be of another slug.
  if (after.project.slug !== before.project.slug) forgetSlug(deps.cache, before.project)
  keepHeld(deps, held)
  for (const listener of held.listeners) listener()
}

/** What was erased stays in no memory, nor what was made of it. */
export function forgetErased({ cache, renderable }: Deps, projectId: string): void {
  forgetContents(cache, projectId)
  renderable.clear()
}

/** What is known of the keys of a project is not believed any more; those that are good are read again. */
export function forgetKeys({ cache, keys }: Deps, projectId: string): void {
  cache.changes += 1
  cache.revocations += 1
  for (const [hash, { actor }] of [...keys.entries()]) if (`${actor.projectId}` === projectId) keys.delete(hash)
}

/**
 * Finds out what differs between releases that take each other's place, so that only that has to be loaded, and loads it.
 * What cannot be found out, or not soon, is read when somebody asks for it.
 */
async function connected(deps: Deps, before: Pointers, after: Pointers): Promise<Pointers> {
  const links = new Map<string, ReleaseLink>()
  const late = AbortSignal.timeout(aheadMs)
  const connecting = connect(deps, before, after, { links, late }).then(
    () => true,
    (err: unknown) => {
      deps.log.debug({ err }, 'What changed in a project could not be read ahead.')
      return false
    },
  )
  const isRead = await Promise.race([connecting, once(late, 'abort').then(() => false)])
  // While nobody answers it could not be read later either: then what is held goes on being served, as stale.
  if (!isRead) await readDatabase(deps, readEpochs, [[], []], 'confirmation')
  return withLinks(after, new Map(links))
}

type Ahead = { links: Map<string, ReleaseLink>; late: AbortSignal }

async function connect(deps: Deps, before: Pointers, after: Pointers, ahead: Ahead): Promise<void> {
  const { links, late } = ahead
  for (const { from, to } of unlinked(before, after).slice(0, maxLinks)) {
    const changed = await readAhead<[string, string | null][]>(deps, readDifference, [from.id, to.id])
    if (late.aborted) return
    if (changed && changed.length <= maxChanged) links.set(to.uid, { from: from.uid, changed: new Map(changed) })
  }
  await loadAhead(deps, after, ahead)
}

/** Loads the changed versions of those prompts that are asked for by an alias which moved. */
async function loadAhead(deps: Deps, pointers: Pointers, { links, late }: Ahead): Promise<void> {
  const { entries } = deps.cache
  const ids = versionsAhead(deps, pointers, links)
  for (let at = 0; at < ids.length; at += aheadAtOnce) {
    const rows = await readAhead<VersionRow[]>(deps, readVersions, [ids.slice(at, at + aheadAtOnce)])
    // What comes after the project went over to its new state may have been erased since.
    if (late.aborted) return
    for (const row of rows ?? []) entries.set(recordKey(pointers, row.id), toRecord(row))
  }
}

function versionsAhead({ cache: { entries } }: Deps, pointers: Pointers, links: ReadonlyMap<string, ReleaseLink>): string[] {
  const ids = new Set<string>()
  for (const [alias, { target, canary }] of pointers.aliases) {
    for (const uid of [target.uid, canary?.target.uid]) {
      for (const [name, versionId] of links.get(uid ?? '')?.changed ?? []) {
        if (versionId === null || ids.size >= maxAhead || entries.has(recordKey(pointers, versionId))) continue
        if (entries.has(planKey(`${pointers.project.id}`, name, alias))) ids.add(versionId)
      }
    }
  }
  return [...ids]
}
