import type { PromptPlan } from '../lib/prompt-plan.js'
import type { DiskCache } from './disk-cache.js'
import type { Settings } from './options.js'
import { type Confirmed, type Entry, isImmutable, PlanCache } from './plan-cache.js'
import type { Clock } from './platform.js'

/** That a plan on disk was confirmed once more is not worth a write each time: read later it is thought older than it is. */
const storedAgainAfterMs = 600_000
const dayMs = 86_400_000
/** What is not asked for so long is no longer confirmed by polls. */
const inUsePolls = 10
const inUseMs = 600_000

type Parts = { settings: Settings; clock: Clock; disk: DiskCache | null }

/** How old a plan is, in all that it matters for. */
export type Age = { ageMs: number; isExpired: boolean; isPastStale: boolean; isStale: boolean }

/** The plans that are held, in memory and on disk, and how old they are. */
export class PlanStore {
  readonly cache: PlanCache
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #disk: DiskCache | null
  #turn = 0

  constructor({ settings, clock, disk }: Parts) {
    this.#settings = settings
    this.#clock = clock
    this.#disk = disk
    this.cache = new PlanCache(settings.maxCacheSizeBytes)
  }

  /** Numbers what happens in turn: what began earlier replaces nothing that came later. */
  nextTurn(): number {
    this.#turn += 1
    return this.#turn
  }

  /** Keeps what the service answered to a question that was asked in a turn; answers the entry that is the newest. */
  keep(name: string, ref: string, confirmed: Confirmed, at: number): Entry {
    const known = this.cache.get(name, ref)
    if (known && known.refreshedAt > at) return known
    const entry = this.cache.set(name, ref, confirmed, { at, ...this.#now() })
    this.#storeAgain(entry)
    return entry
  }

  /** The same where the service answered that nothing has changed. */
  confirm(entry: Entry, confirmed: Omit<Confirmed, 'plan' | 'etag'>, at: number): void {
    if (entry.refreshedAt > at) return
    Object.assign(entry, confirmed, { refreshedAt: at, failure: null })
    this.#storeAgain(entry)
  }

  /** Keeps in memory what was found on disk, unless something newer came meanwhile. */
  adopt(name: string, ref: string, confirmed: Confirmed): Entry {
    const known = this.cache.get(name, ref)
    if (known) return known
    const entry = this.cache.set(name, ref, confirmed, { at: 0, ...this.#now() })
    entry.storedAtMs = confirmed.confirmedAtMs
    return entry
  }

  drop(name: string, ref: string): void {
    this.cache.delete(name, ref)
    this.#disk?.delete(name, ref)
  }

  /** From now on these are older than their time, whatever is under way: they were replaced, or may have been. */
  mark(isMeant: (entry: Entry) => boolean, why: 'replaced' | 'doubtful'): Entry[] {
    const at = this.nextTurn()
    const marked = this.cache.all().filter(isMeant)
    for (const entry of marked) {
      entry.isReplaced = why === 'replaced' || (entry.isReplaced && entry.markedAt > entry.refreshedAt)
      entry.markedAt = at
    }
    return marked
  }

  /** What is on disk. A time that lies ahead says nothing: such a plan is as old as can be. */
  async readStored(name: string, ref: string): Promise<Confirmed | null> {
    const stored = await this.#disk?.read(name, ref)
    if (!stored) return null
    const { plan, etag, confirmedAt } = stored
    const ageMs = this.#clock.now() - confirmedAt
    const isKnown = Number.isFinite(ageMs) && ageMs >= 0
    const { maxStaleMs } = this.#settings
    const oldestMs = 2 * dayMs + (Number.isFinite(maxStaleMs) ? maxStaleMs : 0)
    return { plan, etag, confirmedAtMs: this.#clock.monotonic() - (isKnown ? ageMs : oldestMs), isUnconfirmed: false }
  }

  /** Whether a plan that was found on disk may be served without asking first. */
  isFreshOnDisk({ plan, confirmedAtMs }: Confirmed): boolean {
    const { fileTtlMs } = this.#settings
    const ttlMs = Math.min(isImmutable(plan) ? Math.max(dayMs, fileTtlMs) : fileTtlMs, this.#staleFromMs(plan))
    return this.#clock.monotonic() - confirmedAtMs < ttlMs
  }

  /** `isAway` is whether the service could not be asked lately. */
  ageOf(entry: Entry, nowMs: number, isAway: () => boolean): Age {
    const { memoryTtlMs, refreshStrategy } = this.#settings
    const isLasting = isImmutable(entry.decisions.plan)
    const ageMs = Math.max(0, nowMs - entry.confirmedAtMs)
    const isMarked = entry.markedAt > entry.refreshedAt
    const isOld = ageMs >= (isLasting ? dayMs : memoryTtlMs)
    const isExpired = isMarked || (isOld && refreshStrategy !== 'none')
    const isPastStale = ageMs >= this.#staleFromMs(entry.decisions.plan)
    const isDoubtful = entry.isUnconfirmed || (isExpired && (entry.failure !== null || isAway()))
    return { ageMs, isExpired, isPastStale, isStale: (isMarked && entry.isReplaced) || isPastStale || isDoubtful }
  }

  /** From which age on the service is asked before a plan is served. */
  #staleFromMs(plan: PromptPlan): number {
    return this.#settings.maxStaleMs + (isImmutable(plan) ? dayMs : 0)
  }

  #now() {
    return { changedAt: this.nextTurn(), usedAtMs: this.#clock.monotonic() }
  }

  isInUse({ usedAtMs }: Entry): boolean {
    return this.#clock.monotonic() - usedAtMs < Math.max(inUseMs, inUsePolls * this.#settings.refreshIntervalMs)
  }

  #storeAgain(entry: Entry): void {
    const nowMs = this.#clock.monotonic()
    if (!this.#disk || nowMs - entry.storedAtMs < storedAgainAfterMs) return
    entry.storedAtMs = nowMs
    const { name, ref, decisions, etag, confirmedAtMs } = entry
    this.#disk.write(name, ref, { plan: decisions.plan, etag, confirmedAt: this.#clock.now() - (nowMs - confirmedAtMs) })
  }
}
