import type { PromptPlan } from '../lib/prompt-plan.js'
import type { PromptsyncError } from './problem.js'
import { Decisions, frozen } from './prompt.js'

/** A plan as the service answered it. Times are of the monotonic clock. */
export type Confirmed = {
  plan: PromptPlan
  /** Of the plan alone; null where it came among others. */
  etag: string | null
  /** When the service was sure of it. */
  confirmedAtMs: number
  /** Whether the service itself could not be sure. */
  isUnconfirmed: boolean
}

/** A plan in memory. It goes on as the same object when its plan is renewed. */
export type Entry = {
  readonly name: string
  readonly ref: string
  decisions: Decisions
  etag: string | null
  confirmedAtMs: number
  isUnconfirmed: boolean
  usedAtMs: number
  sizeBytes: number
  /** Of the last event that spoke of it, among all events and refreshes. */
  markedAt: number
  /** Whether that was told to have changed it, and not only that it may have. */
  isReplaced: boolean
  /** Of the refresh that it was last confirmed by. */
  refreshedAt: number
  /** The turn in which another plan took the place of the one before. */
  changedAt: number
  /** When it was last written to disk. */
  storedAtMs: number
  /** Why it could not be refreshed last time. */
  failure: PromptsyncError | null
}

/** About what the objects around a plan take. */
const overheadBytes = 1_500
/** When room is made it is made for more than one. */
const keptShare = 0.9

/** Plans in memory, by ref and name. When they take more than they may, those that were not used for longest go. */
export class PlanCache {
  readonly #byRef = new Map<string, Map<string, Entry>>()
  readonly #maxBytes: number
  #sizeBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get(name: string, ref: string): Entry | undefined {
    return this.#byRef.get(ref)?.get(name)
  }

  all(): Entry[] {
    return [...this.#byRef.values()].flatMap((entries) => [...entries.values()])
  }

  ofRef(ref: string): Entry[] {
    return [...(this.#byRef.get(ref)?.values() ?? [])]
  }

  /** Keeps a plan; what was decided of it stays where it is the same. */
  set(
    name: string,
    ref: string,
    confirmed: Confirmed,
    { at, changedAt, usedAtMs }: { at: number; changedAt: number; usedAtMs: number },
  ): Entry {
    const { plan, etag, confirmedAtMs, isUnconfirmed } = confirmed
    const known = this.get(name, ref)
    if (known && isSame(known.decisions.plan, plan)) {
      Object.assign(known, { etag: etag ?? known.etag, confirmedAtMs, isUnconfirmed, refreshedAt: at, failure: null })
      return known
    }
    const sizeBytes = overheadBytes + 2 * JSON.stringify(plan).length
    this.#sizeBytes += sizeBytes - (known?.sizeBytes ?? 0)
    const renewed = { etag, confirmedAtMs, isUnconfirmed, refreshedAt: at, failure: null }
    const entry: Entry = Object.assign(known ?? { name, ref, usedAtMs, markedAt: 0, isReplaced: false }, renewed, {
      ...{ changedAt, storedAtMs: Number.NEGATIVE_INFINITY },
      decisions: new Decisions(frozen(plan), (bytes) => this.#grow(name, ref, plan, bytes)),
      sizeBytes,
    })
    this.#put(entry)
    this.#makeRoom(entry)
    return entry
  }

  #put(entry: Entry): void {
    const entries = this.#byRef.get(entry.ref) ?? new Map<string, Entry>()
    entries.set(entry.name, entry)
    this.#byRef.set(entry.ref, entries)
  }

  delete(name: string, ref: string): void {
    const entries = this.#byRef.get(ref)
    const entry = entries?.get(name)
    if (!entries || !entry) return
    entries.delete(name)
    if (entries.size === 0) this.#byRef.delete(ref)
    this.#sizeBytes -= entry.sizeBytes
  }

  /** What is kept with a plan that was replaced meanwhile counts no more. */
  #grow(name: string, ref: string, plan: PromptPlan, bytes: number): void {
    const entry = this.get(name, ref)
    if (entry?.decisions.plan !== plan) return
    entry.sizeBytes += bytes
    this.#sizeBytes += bytes
    this.#makeRoom(entry)
  }

  #makeRoom(newest: Entry): void {
    if (this.#sizeBytes <= this.#maxBytes) return
    const others = this.all().filter((entry) => entry !== newest)
    for (const { name, ref } of others.sort((one, other) => one.usedAtMs - other.usedAtMs)) {
      if (this.#sizeBytes <= this.#maxBytes * keptShare) return
      this.delete(name, ref)
    }
    if (this.#sizeBytes > this.#maxBytes) this.delete(newest.name, newest.ref)
  }
}

function isSame(one: PromptPlan, other: PromptPlan): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}

/** What a plan answers is settled for good: only a purge ends it. */
export function isImmutable({ by }: PromptPlan): boolean {
  return by === 'version' || by === 'release'
}
