import { LRUCache } from 'lru-cache'
import type { AppError } from '../errors.js'
import { createDurationSeries, type DurationSeries, durationBounds } from './durations.js'
import { createFlights, type Flights } from './flights.js'
import type { Plan } from './plan.js'
import type { Pointers } from './pointers.js'
import { createRateLimiter, type RateLimiter } from './rate-limiter.js'
import type { RoutingTable } from './routing-table.js'
import type { SourceState } from './source-state.js'
import type { VersionRecord } from './version-record.js'

/** A project whose prompts this instance serves. Times are of the clock that only goes forward, in milliseconds. */
export type HeldProject = {
  pointers: Pointers
  /** When the query began that last found `pointers` to be current. */
  confirmedAtMs: number
  /** When that query had its answer. */
  confirmedByMs: number
  /**
   * Since when it is known that there is something newer, and how often it became so by a write here; an object of its own
   * for each time it became known.
   */
  outdated: { sinceMs: number; writes: number } | null
  usedAtMs: number
  /** When what is held is to be shared with other instances again. */
  shareAgainAtMs: number
  refreshing: Promise<void> | null
  /** Told of each change of `pointers`. */
  listeners: Set<() => void>
}

/** A project as a read is to answer from it, and for how many seconds it could not be confirmed; null where it was. */
export type Reader = { held: HeldProject; staleSeconds: number | null }

/** What a read that found nothing found out, as of an epoch. */
export type Miss = { error: AppError; era: number; epoch: number }

/** The sources of a project by their id, and when the query began that told of them. */
export type KnownSources = { states: ReadonlyMap<string, SourceState>; readAtMs: number; reading: Promise<void> | null }

export type ReadCounts = {
  /** Reads answered by each level. */
  hits: { memory: number; redis: number; database: number }
  misses: number
  stale: number
  /** Answers of `/resolve` by the level they came from. */
  resolved: { registry: number; stale: number; default: number; fallback: number }
  /** How long loads took. */
  loads: { done: DurationSeries; failed: DurationSeries }
}

/** All that an instance keeps to answer reads, within `bytes` in all. */
export type ReadCache = {
  /** By id. */
  projects: LRUCache<string, HeldProject>
  /** The ids of those that are held, by the slugs they have: a database that was restored may give a slug to another one. */
  slugs: Map<string, string>
  /** Plans, the records of versions and how releases are routed, under `planKey`, `recordKey` and `routingKey`. */
  entries: LRUCache<string, Plan | VersionRecord | RoutingTable>
  /** What is known of the sources of projects, by the id of the project. */
  sources: LRUCache<string, KnownSources>
  misses: LRUCache<string, Miss>
  /** How many misses of a project are told what was probably meant. */
  hints: RateLimiter
  /** Slugs and hashes of keys that are not there, for a moment each: they may be made at any time. */
  absent: LRUCache<string, true>
  flights: Flights
  /** How often something was written here, or announced: what was read before that is not to be kept as if it were of after. */
  changes: number
  /** How often it became known that keys are not good any more: what was read of a key before that may be wrong. */
  revocations: number
  counts: ReadCounts
  /** What tells this database from others in a shared Redis; null until it is known. */
  databaseId: string | null
  bytes: number
}

const maxLoads = 128
/** A read waits no longer for what it has to load. */
const loadTimeoutMs = 2_500
/** Projects get this part of the bytes, misses as many entries as take about as much. */
const projectsPart = 1 / 8
const missBytes = 1_500
const missesPart = 1 / 32
/** A miss is as good as the epoch it is of; it is forgotten soon all the same, since few are asked for again. */
const missTtlMs = 1_000
const hintLimits = { perMinute: 600, burst: 60, maxKeys: 1_000 }
const aliasBytes = 600
const maxKnownSources = 10_000
const maxAbsent = 10_000
const absentTtlMs = 1_000

function sizeOfProject({ pointers: { aliases, pins, links } }: HeldProject): number {
  const changed = [...links.values()].reduce((sum, link) => sum + link.changed.size, 0)
  return 2_000 + (aliases.size + pins.size) * aliasBytes + changed * 150
}

/** `elapsed` is the clock that misses are forgotten by. */
export function createReadCache(bytes: number, elapsed: () => number): ReadCache {
  const forProjects = Math.floor(bytes * projectsPart)
  const forMisses = Math.floor(bytes * missesPart)
  const slugs = new Map<string, string>()
  return {
    projects: new LRUCache({
      maxSize: forProjects,
      sizeCalculation: sizeOfProject,
      dispose: ({ pointers }) => forgetSlug({ slugs }, pointers.project),
    }),
    slugs,
    entries: new LRUCache({
      maxSize: bytes - forProjects - forMisses,
      sizeCalculation: ({ sizeBytes }, key) => sizeBytes + 2 * key.length,
    }),
    sources: new LRUCache({ max: maxKnownSources }),
    misses: new LRUCache({ max: Math.max(100, Math.floor(forMisses / missBytes)), ttl: missTtlMs, perf: { now: elapsed } }),
    hints: createRateLimiter({ ...hintLimits, now: elapsed }),
    absent: new LRUCache({ max: maxAbsent, ttl: absentTtlMs, perf: { now: elapsed } }),
    flights: createFlights({ concurrent: maxLoads, timeoutMs: loadTimeoutMs }),
    changes: 0,
    revocations: 0,
    counts: {
      hits: { memory: 0, redis: 0, database: 0 },
      misses: 0,
      stale: 0,
      resolved: { registry: 0, stale: 0, default: 0, fallback: 0 },
      loads: {
        done: createDurationSeries({ outcome: 'done' }, durationBounds),
        failed: createDurationSeries({ outcome: 'failed' }, durationBounds),
      },
    },
    databaseId: null,
    bytes,
  }
}

/**
 * Puts a project in the place that its size now takes, and tells whether there is such a place. Its slug leads to it for as
 * long as it is there.
 */
export function keepProject({ projects, slugs }: ReadCache, held: HeldProject): boolean {
  const { id, slug } = held.pointers.project
  projects.delete(`${id}`)
  projects.set(`${id}`, held)
  const isKept = projects.has(`${id}`)
  if (isKept) slugs.set(slug, `${id}`)
  return isKept
}

/** From now on a slug does not lead to this project; it may lead to another one. */
export function forgetSlug({ slugs }: Pick<ReadCache, 'slugs'>, { id, slug }: Pointers['project']): void {
  if (slugs.get(slug) === `${id}`) slugs.delete(slug)
}

/** The project that is held of a slug. */
export function heldBySlug({ projects, slugs }: Pick<ReadCache, 'projects' | 'slugs'>, slug: string): HeldProject | undefined {
  return projects.get(slugs.get(slug) ?? '')
}

export function planKey(projectId: string, name: string, ref: string): string {
  return `${projectId}\n${name}\n${ref}`
}

/** What was read before a purge is not found after it. */
export function recordKey({ project, purges }: Pick<Pointers, 'project' | 'purges'>, versionId: string): string {
  return `${project.id}\n\n${purges}\n${versionId}`
}

/** How a release is routed, as of a number of purges: names of files may be erased with a project. */
export function routingKey({ project, purges }: Pick<Pointers, 'project' | 'purges'>, releaseUid: string): string {
  return `${project.id}\n\n${purges}\nrouting ${releaseUid}`
}

/** Puts a plan in the place that its size now takes. */
export function keepPlan({ entries }: ReadCache, key: string, plan: Plan): void {
  entries.delete(key)
  entries.set(key, plan)
}

/** Drops all that is kept of a project's prompts. */
export function forgetContents({ entries, misses }: ReadCache, projectId: string): void {
  for (const map of [entries, misses]) {
    for (const key of [...map.keys()]) if (key.startsWith(`${projectId}\n`)) map.delete(key)
  }
}
