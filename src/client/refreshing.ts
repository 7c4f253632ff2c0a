import { Lane } from './lane.js'
import { type Entry, isImmutable } from './plan-cache.js'
import { askOne, isGone, type ManyAnswer } from './plan-source.js'
import { setBackgroundTimer, type Timer } from './platform.js'
import { PromptsyncError } from './problem.js'
import { askTogether, behindOf, type Parts } from './together.js'

/** `begun` is null while it waits for its turn: until then it takes in whatever is there. */
type Flight = { begun: { at: number; names: ReadonlySet<string> } | null; done: Promise<void> }

/** The ETags of the last answers about a ref, by the names that were asked for. */
type GroupTags = { at: number; etags: ReadonlyMap<string, string> }

/** So many calls at once that nobody waits for. */
const concurrentCalls = 4
const shortestPollMs = 10
const maxTags = 1_000

/**
 * Renews the plans in memory. Those of one movable ref are renewed together, by one call as of one moment, and go over together:
 * whoever has seen one prompt of a new release gets no other one of the old.
 */
export class Refresher {
  readonly #parts: Parts
  readonly #flights = new Map<string, Flight>()
  readonly #tags = new Map<string, GroupTags>()
  readonly #lane = new Lane(concurrentCalls)
  #timer: Timer | null = null
  readonly #underWay = new Set<AbortController>()
  #isClosed = false

  constructor(parts: Parts) {
    this.#parts = { ...parts, connection: { ...parts.connection, underWay: this.#underWay } }
  }

  /**
   * Renews a plan, or waits for the renewal that is under way. It never rejects: afterwards the entry has a `failure`, and is
   * dropped where the service has nothing for it anymore.
   */
  refresh(entry: Entry): Promise<void> {
    return this.#renew(entry, (work) => work())
  }

  #renew(entry: Entry, run: (work: () => Promise<void>) => Promise<void>): Promise<void> {
    const id = isImmutable(entry.decisions.plan) ? `plan ${entry.ref} ${entry.name}` : `ref ${entry.ref}`
    const known = this.#flights.get(id)
    // One that began before the event that speaks of the plan would not bring what it tells of. One that waits to begin does.
    if (known && (known.begun === null || (known.begun.names.has(entry.name) && known.begun.at > entry.markedAt)))
      return known.done
    const flight: Flight = { begun: null, done: Promise.resolve() }
    const work = async () => {
      const entries = this.#togetherWith(entry)
      const at = this.#parts.store.nextTurn()
      flight.begun = { at, names: new Set(entries.map(({ name }) => name)) }
      await this.#run(entries, at)
    }
    flight.done = (known ? known.done.then(() => run(work)) : run(work)).finally(() => {
      if (this.#flights.get(id) === flight) this.#flights.delete(id)
    })
    this.#flights.set(id, flight)
    return flight.done
  }

  /** The same behind the caller's back, unless the service is to be left alone. */
  refreshSoon(entry: Entry): void {
    if (this.#isClosed || this.#parts.backoff.reason) return
    void this.#renewInLane(entry)
  }

  /** Renews all of these, some at a time. */
  async refreshAll(entries: readonly Entry[]): Promise<void> {
    await Promise.all(entries.map((entry) => this.#renewInLane(entry)))
  }

  #renewInLane(entry: Entry): Promise<void> {
    const wasClosed = this.#isClosed
    // What still waits for its turn when all is closed does not begin.
    const isOver = () => this.#isClosed && !wasClosed
    return this.#renew(entry, (work) => this.#lane.run(async () => (isOver() ? undefined : work())))
  }

  /** What came by another way is not what the last answer about its ref was about. */
  forgetTags(ref: string): void {
    this.#tags.delete(ref)
  }

  /** Sees to it that plans in use are confirmed again and again; costs next to nothing where it is so already. */
  keepPolling(): void {
    const { refreshIntervalMs, refreshStrategy } = this.#parts.settings
    if (this.#timer !== null || this.#isClosed || refreshIntervalMs === 0 || refreshStrategy === 'none') return
    this.#arm()
  }

  close(): void {
    this.#isClosed = true
    for (const call of this.#underWay) call.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #arm(): void {
    const { settings, backoff, clock } = this.#parts
    const delayMs = backoff.isFailing
      ? Math.max(shortestPollMs, backoff.waitMs)
      : settings.refreshIntervalMs * (0.9 + 0.2 * clock.random())
    this.#timer = setBackgroundTimer(() => void this.#poll(), Math.min(delayMs, 2 ** 31 - 1))
  }

  async #poll(): Promise<void> {
    const { store, backoff, clock } = this.#parts
    const inUse = store.cache.all().filter((entry) => store.isInUse(entry))
    const nowMs = clock.monotonic()
    const isDue = (entry: Entry) =>
      !isImmutable(entry.decisions.plan) || store.ageOf(entry, nowMs, () => backoff.isFailing).isExpired
    if (!backoff.reason) await this.refreshAll(inUse.filter(isDue))
    this.#timer = null
    // What is asked for next goes on with it.
    if (inUse.length > 0) this.keepPolling()
  }

  #togetherWith(entry: Entry): Entry[] {
    const { store } = this.#parts
    if (isImmutable(entry.decisions.plan)) return [entry]
    const others = store.cache.ofRef(entry.ref).filter((other) => other !== entry && !isImmutable(other.decisions.plan))
    return [entry, ...others]
  }

  async #run(entries: Entry[], at: number): Promise<void> {
    const [first] = entries
    const { reason } = this.#parts.backoff
    if (reason) {
      // Those that waited for others to fail need not do so one after the other.
      for (const entry of entries) entry.failure = reason
      return
    }
    try {
      if (first && entries.length === 1) await this.#renewOne(first, at)
      else await this.#renewMany(entries)
      this.#parts.backoff.succeeded()
    } catch (error) {
      this.#failed(entries, toFailure(error))
    }
  }

  #failed(entries: Entry[], error: PromptsyncError): void {
    const { settings, backoff } = this.#parts
    if (isGone(error)) {
      backoff.succeeded()
      for (const entry of entries) this.#refused(entry, error)
      return
    }
    for (const entry of entries) entry.failure = error
    // What `close` ended is no fault of the service.
    if (error.code === 'client.aborted') return
    backoff.failed(error)
    const [first] = entries
    const name = entries.length === 1 && first ? first.name : null
    tell(() => settings.onError(error, { name, ref: first?.ref ?? null }))
  }

  async #renewOne(entry: Entry, at: number): Promise<void> {
    const { connection, clock, store } = this.#parts
    const { name, ref } = entry
    const { plan, ...confirmed } = await askOne(connection, clock.monotonic, entry)
    const isOvertaken = entry.changedAt > at || behindOf(store, ref, plan ? [plan] : []).some((other) => other !== entry)
    if (isOvertaken && !isImmutable(entry.decisions.plan)) return this.#renewMany([entry])
    if (plan === null) store.confirm(entry, confirmed, at)
    else store.keep(name, ref, { plan, ...confirmed }, at)
  }

  async #renewMany(entries: Entry[]): Promise<void> {
    const [ref = ''] = entries.map((entry) => entry.ref)
    const wanted = entries.map(({ name }) => name)
    const { at, names, answer, etags } = await askTogether(this.#parts, ref, wanted, this.#tags.get(ref)?.etags)
    const held = names.flatMap((name) => this.#parts.store.cache.get(name, ref) ?? [])
    this.#apply([...new Set([...held, ...entries])], answer, at)
    if ((this.#tags.get(ref)?.at ?? 0) >= at) return
    if (this.#tags.size >= maxTags) this.#tags.clear()
    this.#tags.set(ref, { at, etags })
  }

  #apply(entries: Entry[], { plans, problems, confirmedAtMs, isUnconfirmed }: ManyAnswer, at: number): void {
    const { store } = this.#parts
    for (const entry of entries) {
      const plan = plans?.get(entry.name)
      if (plans === null) store.confirm(entry, { confirmedAtMs, isUnconfirmed }, at)
      else if (plan) store.keep(entry.name, entry.ref, { plan, etag: null, confirmedAtMs, isUnconfirmed }, at)
      else this.#refused(entry, problems.get(entry.name) ?? unanswered(entry))
    }
  }

  /** Of one plan, by a service that answers. */
  #refused(entry: Entry, error: PromptsyncError): void {
    const { store, settings } = this.#parts
    entry.failure = error
    if (isGone(error)) store.drop(entry.name, entry.ref)
    else tell(() => settings.onError(error, { name: entry.name, ref: entry.ref }))
  }
}

/** The error for a name that an answer says nothing about. */
export function unanswered({ name, ref }: { name: string; ref: string }): PromptsyncError {
  const detail = `The service answered nothing about "${name}" at "${ref}". Check that it is of this version.`
  return new PromptsyncError('client.not_promptsync', detail, { status: null })
}

/** Nothing that goes wrong behind an application's back ends it. */
export function toFailure(error: unknown): PromptsyncError {
  if (error instanceof PromptsyncError) return error
  return new PromptsyncError('client.failed', `Something went wrong in the client: ${String(error)}`, {
    status: null,
    cause: error,
  })
}

/** Calls what the application gave; an error of it is its own, and stops nothing here. */
export function tell(callback: () => void): void {
  try {
    callback()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
