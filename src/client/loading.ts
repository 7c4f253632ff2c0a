import type { Backoff } from './backoff.js'
import { Lane } from './lane.js'
import type { Confirmed, Entry } from './plan-cache.js'
import { askOne, isGone, isRefused, type ManyAnswer } from './plan-source.js'
import { PromptsyncError } from './problem.js'
import { Decisions, frozen, type Served, type ServedFrom } from './prompt.js'
import { type Refresher, tell, toFailure } from './refreshing.js'
import { askTogether, behindOf, type Parts, type Together } from './together.js'

/** What there is for a name: an entry, and where it came from. */
export type Loaded = { entry: Entry; servedFrom: Extract<ServedFrom, 'disk' | 'network'> }

export type LoadedTogether = { decisions: Decisions; served: Served }

/** What there is for each of many names, and the errors of those that are missing. */
type FoundTogether = Map<string, LoadedTogether | PromptsyncError>

/** So long it is not asked again for what is not there. */
const absentMs = 1_000
const maxAbsent = 1_000
/** So many plans are loaded at once. Who asks for thousands would open as many connections. */
const concurrentLoads = 32

/** What a load began with: what is on disk, and why the service was to be left alone. */
type Before = { stored: Confirmed | null; reason: PromptsyncError | null }

type Absent = { error: PromptsyncError; untilMs: number }

/** Loads plans that are not in memory: from disk where that is fresh, else from the service, else from disk all the same. */
export class Loader {
  readonly #parts: Parts
  readonly #backoff: Backoff
  readonly #refresher: Refresher
  readonly #lane = new Lane(concurrentLoads)
  readonly #flights = new Map<string, Promise<Loaded>>()
  readonly #flightsOfMany = new Map<string, Promise<FoundTogether>>()
  readonly #absent = new Map<string, Absent>()

  constructor(parts: Parts, refresher: Refresher) {
    this.#parts = parts
    this.#backoff = parts.backoff
    this.#refresher = refresher
  }

  /**
   * Callers that ask for the same at once wait for one load. One that has another prompt to serve gets the error at once where the
   * service did not answer lately. Throws `PromptsyncError`.
   */
  load(name: string, ref: string, patience: 'waits' | 'has another'): Promise<Loaded> {
    return joined(this.#flights, `${patience} ${ref} ${name}`, () => this.#load(name, ref, patience))
  }

  /** What was not there a moment ago may be there now. */
  forgetAbsent(): void {
    this.#absent.clear()
  }

  /**
   * Many plans as of one moment, and the errors of those that are missing. Callers that ask for the same at once wait for one call.
   * Throws `PromptsyncError` where nobody answers.
   */
  loadMany(names: readonly string[], ref: string): Promise<FoundTogether> {
    // A call that began before an event spoke of a plan would not bring what that tells of.
    const markedAt = Math.max(...names.map((name) => this.#parts.store.cache.get(name, ref)?.markedAt ?? 0))
    const id = JSON.stringify([markedAt, ref, ...[...names].sort()])
    return joined(this.#flightsOfMany, id, () => this.#loadMany(names, ref))
  }

  async #loadMany(names: readonly string[], ref: string): Promise<FoundTogether> {
    const { clock, store } = this.#parts
    const { answer, at } = await this.#askTogether(names, ref)
    const { confirmedAtMs, isUnconfirmed } = answer
    const served = { servedFrom: 'network' as const, ageMs: clock.monotonic() - confirmedAtMs, isStale: isUnconfirmed }
    const found: FoundTogether = new Map()
    for (const [name, error] of answer.problems) {
      if (isGone(error)) store.drop(name, ref)
      if (names.includes(name)) found.set(name, error)
    }
    for (const [name, entry] of this.#keepAll(ref, answer, at)) {
      // What is newer than this answer is not of its moment.
      const plan = answer.plans?.get(name)
      const isOfAnswer = entry.refreshedAt === at || plan === undefined
      const decisions = isOfAnswer ? entry.decisions : new Decisions(frozen(plan), () => undefined)
      found.set(name, { decisions, served })
    }
    return found
  }

  #askTogether(names: readonly string[], ref: string): Promise<Together> {
    return this.#ask(() => askTogether(this.#parts, ref, names))
  }

  #keepAll(ref: string, { plans, confirmedAtMs, isUnconfirmed }: ManyAnswer, at: number): Map<string, Entry> {
    this.#refresher.forgetTags(ref)
    const kept = [...(plans ?? [])].map(([name, plan]) => {
      return [name, this.#parts.store.keep(name, ref, { plan, confirmedAtMs, isUnconfirmed, etag: null }, at)] as const
    })
    return new Map(kept)
  }

  /** What is on disk, whatever its age. */
  async loadStored(name: string, ref: string): Promise<Entry | null> {
    const { store } = this.#parts
    const stored = await store.readStored(name, ref)
    return stored && store.adopt(name, ref, stored)
  }

  async #load(name: string, ref: string, patience: 'waits' | 'has another'): Promise<Loaded> {
    const { store, settings } = this.#parts
    this.#throwAbsent(name, ref)
    const stored = await store.readStored(name, ref)
    if (stored && this.#isFresh(stored)) return { entry: store.adopt(name, ref, stored), servedFrom: 'disk' }
    const { reason } = this.#backoff
    if (reason && stored && !this.#mustBeAsked(stored, reason))
      return { entry: this.#adoptFailed(name, ref, stored, reason), servedFrom: 'disk' }
    if (reason && patience === 'has another') throw reason
    try {
      return { entry: await this.#lane.run(() => this.#loadFromService(name, ref, { stored, reason })), servedFrom: 'network' }
    } catch (error) {
      const failure = toFailure(error)
      if (isGone(failure)) this.#noteAbsent(name, ref, failure)
      if (!stored || isGone(failure) || this.#mustBeAsked(stored, failure)) throw failure
      tell(() => settings.onError(failure, { name, ref }))
      return { entry: this.#adoptFailed(name, ref, stored, failure), servedFrom: 'disk' }
    }
  }

  /** Another process may have written it before what is held: then it would be an older answer after a newer one. */
  #isFresh(stored: Confirmed): boolean {
    const { store } = this.#parts
    return store.isFreshOnDisk(stored) && behindOf(store, stored.plan.ref, [stored.plan]).length === 0
  }

  async #loadFromService(name: string, ref: string, { stored, reason }: Before): Promise<Entry> {
    const { connection, clock, store } = this.#parts
    // Those that waited for others to fail need not do so one after the other.
    if (this.#backoff.reason && this.#backoff.reason !== reason) throw this.#backoff.reason
    const at = store.nextTurn()
    const answer = await this.#ask(() => askOne(connection, clock.monotonic, { name, ref, etag: stored?.etag ?? null }))
    const plan = answer.plan ?? stored?.plan
    if (!plan)
      throw new PromptsyncError('client.not_promptsync', 'The service confirmed what it was not asked for.', { status: 304 })
    return this.#keepWithOthers({ ...answer, plan }, at)
  }

  /** What came may be of another release than what is held of its ref: that goes over with it, or it would be left behind. */
  async #keepWithOthers(confirmed: Confirmed, at: number): Promise<Entry> {
    const { store } = this.#parts
    const { name, ref } = confirmed.plan
    const isAlone = behindOf(store, ref, [confirmed.plan]).length === 0
    const entry = isAlone ? null : await this.#loadWithOthers(name, ref)
    if (entry) return entry
    this.#refresher.forgetTags(ref)
    return store.keep(name, ref, confirmed, at)
  }

  /** Null where that did not work out. */
  async #loadWithOthers(name: string, ref: string): Promise<Entry | null> {
    try {
      const { answer, at } = await this.#askTogether([name], ref)
      return this.#keepAll(ref, answer, at).get(name) ?? null
    } catch (error) {
      if (error instanceof PromptsyncError) return null
      throw error
    }
  }

  /** A service that refuses the key is believed in the end. */
  #mustBeAsked({ confirmedAtMs }: Confirmed, failure: PromptsyncError): boolean {
    return isRefused(failure) && this.#parts.clock.monotonic() - confirmedAtMs >= this.#parts.settings.maxStaleMs
  }

  #adoptFailed(name: string, ref: string, stored: Confirmed, failure: PromptsyncError): Entry {
    const entry = this.#parts.store.adopt(name, ref, stored)
    entry.failure = failure
    return entry
  }

  /** Notes whether the service answers. That it has nothing is an answer. */
  async #ask<Result>(call: () => Promise<Result>): Promise<Result> {
    try {
      const result = await call()
      this.#backoff.succeeded()
      return result
    } catch (error) {
      const failure = toFailure(error)
      const isAnswer =
        failure.status !== null && !failure.isTemporary && !isRefused(failure) && failure.code !== 'client.not_promptsync'
      if (isAnswer) this.#backoff.succeeded()
      else this.#backoff.failed(failure)
      throw failure
    }
  }

  #throwAbsent(name: string, ref: string): void {
    const absent = this.#absent.get(`${ref} ${name}`)
    if (absent && this.#parts.clock.monotonic() < absent.untilMs) throw absent.error
  }

  #noteAbsent(name: string, ref: string, error: PromptsyncError): void {
    this.#parts.store.drop(name, ref)
    if (this.#absent.size >= maxAbsent) this.#absent.clear()
    this.#absent.set(`${ref} ${name}`, { error, untilMs: this.#parts.clock.monotonic() + absentMs })
  }
}

/** The work that is under way under a name, or a new one, which is forgotten when it ends. */
function joined<Result>(flights: Map<string, Promise<Result>>, id: string, work: () => Promise<Result>): Promise<Result> {
  const known = flights.get(id)
  if (known) return known
  const flight = work().finally(() => flights.delete(id))
  flights.set(id, flight)
  return flight
}
