import type { operations } from '../generated/api.js'
import type { PromptDiff } from '../lib/diff/prompt-diff.js'
import type { Tags } from '../lib/variants.js'
import { Backoff } from './backoff.js'
import {
  checkName,
  checkNames,
  checkSubject,
  type EventsOptions,
  type GetPromptOptions,
  type GetPromptsOptions,
  hasAnother,
  notOfType,
  optionsOfMany,
  optionsOfOne,
  type PeekOptions,
} from './call-options.js'
import { DiskCache } from './disk-cache.js'
import { affects, followEvents, isExact, openByFetch, openByNode, type PromptsyncEvent } from './events.js'
import { type Fallback, Fallbacks } from './fallbacks.js'
import { type Connection, callApi } from './http.js'
import { Loader } from './loading.js'
import { type PromptManagerOptions, readOptions, readRef, refuseUnknown, type Settings } from './options.js'
import { type Entry, isImmutable } from './plan-cache.js'
import { isGone, isRefused } from './plan-source.js'
import { PlanStore } from './plan-store.js'
import { type Clock, countingSleep, setBackgroundTimer, systemClock } from './platform.js'
import { PromptsyncError } from './problem.js'
import { type ChatPrompt, type Decisions, type Prompt, type Served, type TextPrompt, toPrompt } from './prompt.js'
import { Refresher, tell, toFailure, unanswered } from './refreshing.js'
import { createTelemetry, type Telemetry } from './telemetry.js'
import { areAligned } from './together.js'
import { createTrackingMetadata, type TrackedPrompt, type TrackingContext } from './tracking.js'

export type PushRequest = operations['push']['requestBody']['content']['application/json']
export type PushAnswer = operations['push']['responses'][201]['content']['application/json']

const pushPatience = 12
/** For the options of calls that give none. */
const none = Object.freeze({})

/**
 * Serves the prompts of a project to an application. It keeps *plans*, all that is needed to decide what a subject gets, so that
 * a prompt that was asked for once is answered from memory, canary and variant included, as the service would decide.
 *
 * A prompt is answered from memory, else from the service, else from disk, else from a local file, else by the fallback. Plans
 * in use are confirmed every `refreshIntervalMs`, and at once where an event speaks of them. While the service is away, or
 * refuses the key, what is there goes on being served: past its time as `isStale`, past `maxStaleMs` each call asks first, and
 * a refusal is thrown. What the service says is gone (404, 410) is dropped from memory and disk at once.
 *
 * Prompts of one alias go over to a new release together: whoever was given one of the new gets no other one of the old.
 *
 * Nothing of it keeps a process alive.
 */
export class PromptManager {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #store: PlanStore
  readonly #backoff: Backoff
  readonly #refresher: Refresher
  readonly #loader: Loader
  readonly #fallbacks: Fallbacks
  readonly #telemetry: Telemetry
  readonly #disk: DiskCache | null
  readonly #canary: 'on' | 'off'
  readonly #closing = new AbortController()
  #isListening = false

  /** Calls nobody yet; `platformClock` is for tests. Throws `client.invalid`, which names the option that is wrong. */
  constructor(options: PromptManagerOptions = {}, platformClock: Clock = systemClock) {
    const settings = readOptions(options)
    const clock = countingSleep(platformClock)
    const { url, token, project, timeoutMs, cacheDir, maxCacheSizeBytes } = settings
    const report = (error: PromptsyncError) => tell(() => settings.onError(error, { name: null, ref: null }))
    this.#settings = settings
    this.#clock = clock
    this.#connection = { url, token, project, timeoutMs, fetch: settings.fetch }
    this.#disk =
      cacheDir === null
        ? null
        : new DiskCache({ folder: cacheDir, owner: { url, token, project }, maxBytes: maxCacheSizeBytes, onError: report })
    this.#store = new PlanStore({ settings, clock, disk: this.#disk })
    this.#backoff = new Backoff(clock)
    const parts = { settings, connection: this.#connection, clock, store: this.#store, backoff: this.#backoff }
    this.#refresher = new Refresher(parts)
    this.#loader = new Loader(parts, this.#refresher)
    this.#fallbacks = new Fallbacks(clock)
    this.#telemetry = createTelemetry((error) => report(toFailure(error)))
    this.#canary = settings.respectsCanary ? 'on' : 'off'
  }

  /**
   * A prompt for a subject. Throws `PromptsyncError` where nothing else is there: with the code of the service where that has
   * nothing (`prompt.not_found`), with `client.unreachable` or `client.timeout` where it does not answer.
   */
  getPrompt(name: string, options: GetPromptOptions & { type: 'text' }): Promise<TextPrompt>
  getPrompt(name: string, options: GetPromptOptions & { type: 'chat' }): Promise<ChatPrompt>
  getPrompt(name: string, options?: GetPromptOptions): Promise<Prompt>
  async getPrompt(name: string, options: GetPromptOptions = none): Promise<Prompt> {
    const served = this.#served(name, options) ?? this.#obtain(name, options)
    // Waiting for what is there would cost more than having it.
    const prompt = 'then' in served ? await served : served
    if (options.type !== undefined && options.type !== prompt.type) throw notOfType(prompt, options.type)
    this.#telemetry.mark(prompt)
    return prompt
  }

  /**
   * What is in memory, at once; null where nothing is, or what is there may not be served unasked. Throws `PromptsyncError` where
   * the service has nothing for the subject.
   */
  peekPrompt(name: string, options: PeekOptions = none): Prompt | null {
    const prompt = this.#peek(name, options)
    if (prompt) this.#telemetry.mark(prompt)
    return prompt
  }

  /**
   * Several prompts of one release for one subject, in the order of the names: one call where they are not in memory, and one
   * draw for a canary. At most 200 names, each once. Throws the error of the first that is missing, unless `partial`. Where the
   * service cannot be asked, what is held is served as `isStale`, even if it is of two releases.
   */
  getPrompts(names: readonly string[], options: GetPromptsOptions & { partial: true }): Promise<(Prompt | null)[]>
  getPrompts(names: readonly string[], options?: GetPromptsOptions): Promise<Prompt[]>
  async getPrompts(names: readonly string[], options: GetPromptsOptions = none): Promise<(Prompt | null)[]> {
    checkNames(names)
    refuseUnknown(options, optionsOfMany, '')
    checkSubject(options)
    const ref = readRef(options.ref ?? this.#settings.defaultAlias, 'ref')
    this.#wake()
    const found = this.#heldTogether(names, ref) ?? (await this.#obtainTogether(names, ref))
    // One draw decides for all.
    const draw = this.#clock.random()
    return names.map((name) => {
      try {
        const one = found.get(name) ?? unanswered({ name, ref })
        if (one instanceof PromptsyncError) throw one
        return toPrompt(
          one.decisions.outcome(options as { tags?: Tags }, this.#canary, () => draw),
          one.served,
        )
      } catch (error) {
        if (options.partial && error instanceof PromptsyncError) return null
        throw error
      }
    })
  }

  /** What differs between two refs of a prompt. Throws `PromptsyncError`. */
  async diff(name: string, from: string, to: string): Promise<PromptDiff> {
    checkName(name)
    const query = { from: readRef(from, 'from'), to: readRef(to, 'to') }
    const { body } = await callApi<PromptDiff>(this.#connection, { path: `/prompts/${encodeURIComponent(name)}/diff`, query })
    return body
  }

  /** Pushes prompts, in one release or not at all. The key needs `prompts:write`. Throws `PromptsyncError`. */
  async push(request: PushRequest): Promise<PushAnswer> {
    const timeoutMs = this.#settings.timeoutMs * pushPatience
    const { body } = await callApi<PushAnswer>(this.#connection, { path: '/prompts', body: request, timeoutMs })
    this.#loader.forgetAbsent()
    const isMovable = (entry: Entry) => !isImmutable(entry.decisions.plan)
    for (const entry of this.#store.mark(isMovable, 'doubtful')) this.#refresher.refreshSoon(entry)
    return body
  }

  /** What tells, beside a model's call, which prompt it was made with. Throws `client.invalid` for more than a model takes. */
  createTrackingMetadata(prompt: TrackedPrompt, context: TrackingContext = {}): Record<string, string> {
    return createTrackingMetadata(prompt, context)
  }

  /**
   * What happens in the project, until its `signal`, the loop around it or `close` ends it; it comes back by itself where a
   * connection breaks. Throws the `PromptsyncError` of a call that the service refuses. While it is read it keeps a process alive.
   */
  async *events({ signal, lastEventId }: EventsOptions = {}): AsyncGenerator<PromptsyncEvent, void, undefined> {
    const ended = new AbortController()
    const end = () => ended.abort()
    for (const one of [signal, this.#closing.signal]) one?.addEventListener('abort', end, { once: true })
    if (signal?.aborted || this.#closing.signal.aborted) end()
    try {
      yield* followEvents({
        ...{ connection: this.#connection, open: openByFetch, signal: ended.signal, lastEventId },
        clock: this.#clock,
        setTimer: setTimeout,
        onBreak: ({ isTemporary }) => (isTemporary ? 'goes on' : 'gives up'),
      })
    } finally {
      for (const one of [signal, this.#closing.signal]) one?.removeEventListener('abort', end)
      ended.abort()
    }
  }

  /** Confirms all that is in memory. Throws `PromptsyncError` where the service cannot be asked; what is held stays as it is. */
  async refresh(): Promise<void> {
    this.#backoff.tryNow()
    const entries = this.#store.mark(() => true, 'doubtful')
    await this.#refresher.refreshAll(entries)
    const failed = entries.find(({ failure }) => failure && !isGone(failure))
    if (failed?.failure) throw failed.failure
  }

  /** Ends what goes on behind the scenes, and waits until the last plan is on disk. What is in memory is still answered. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#refresher.close()
    await this.#disk?.settled()
  }

  /** What is in memory; a promise where the service has nothing for the subject, and the application may have. */
  #served(name: string, options: GetPromptOptions): Prompt | Promise<Prompt> | null {
    try {
      return this.#peek(name, options)
    } catch (error) {
      if (!(error instanceof PromptsyncError) || error.code === 'client.invalid') throw error
      return this.#otherwise(name, options.ref ?? this.#settings.defaultAlias, options, error)
    }
  }

  #peek(name: string, options: PeekOptions): Prompt | null {
    for (const option in options) if (!optionsOfOne.has(option)) refuseUnknown(options, optionsOfOne, '')
    if (options.tags !== undefined || options.key !== undefined) checkSubject(options)
    const entry = this.#store.cache.get(name, options.ref ?? this.#settings.defaultAlias)
    if (!entry) return null
    this.#wake()
    const nowMs = this.#clock.monotonic()
    entry.usedAtMs = nowMs
    const ageMs = nowMs - entry.confirmedAtMs
    // What is neither old nor spoken of by an event needs no second look.
    if (ageMs < this.#settings.freshMs && entry.refreshedAt >= entry.markedAt && !entry.isUnconfirmed) {
      return this.#toPrompt(entry, options, { servedFrom: 'memory', ageMs, isStale: false })
    }
    return this.#peekOld(entry, options, nowMs)
  }

  #peekOld(entry: Entry, options: PeekOptions, nowMs: number): Prompt | null {
    const { ageMs, isExpired, isPastStale, isStale } = this.#ageOf(entry, nowMs)
    const { refreshStrategy } = this.#settings
    if (refreshStrategy !== 'none' && isPastStale) return null
    if (isExpired && refreshStrategy === 'blocking' && !this.#backoff.reason) return null
    if (isExpired) this.#refresher.refreshSoon(entry)
    return this.#toPrompt(entry, options, { servedFrom: 'memory', ageMs, isStale })
  }

  #ageOf(entry: Entry, nowMs = this.#clock.monotonic()) {
    return this.#store.ageOf(entry, nowMs, () => this.#backoff.isFailing || this.#closing.signal.aborted)
  }

  #toPrompt(entry: Entry, subject: PeekOptions, served: Served): Prompt {
    return toPrompt(entry.decisions.outcome(subject as { tags?: Tags }, this.#canary, this.#clock.random), served)
  }

  /** Timers and the stream begin with the first use. */
  #wake(): void {
    this.#refresher.keepPolling()
    if (this.#settings.hearsEvents && !this.#isListening) this.#listen()
  }

  async #obtain(name: string, options: GetPromptOptions): Promise<Prompt> {
    checkName(name)
    const ref = readRef(options.ref ?? this.#settings.defaultAlias, 'ref')
    this.#wake()
    try {
      const { entry, servedFrom, wasAsked } = await this.#newest(name, ref, hasAnother(options) ? 'has another' : 'waits')
      const { ageMs, isStale, isPastStale } = this.#ageOf(entry)
      // What this very call confirmed is not too old, however long the call took.
      const isConfirmed = servedFrom === 'network' && !entry.isUnconfirmed && entry.refreshedAt >= entry.markedAt
      if (isPastStale && wasAsked && !isConfirmed) this.#tellStale(entry, ageMs)
      // What is on disk is served after a failure only where it was too old to be served unasked.
      const isDoubtful = servedFrom === 'disk' && entry.failure !== null
      return this.#toPrompt(entry, options, { servedFrom, ageMs, isStale: isDoubtful || (isStale && !isConfirmed) })
    } catch (error) {
      if (!(error instanceof PromptsyncError)) throw error
      return this.#otherwise(name, ref, options, error)
    }
  }

  /** What there is after the service was asked. Throws `PromptsyncError`. */
  async #newest(
    name: string,
    ref: string,
    patience: 'waits' | 'has another',
  ): Promise<{ entry: Entry; servedFrom: Served['servedFrom']; wasAsked: boolean }> {
    const held = this.#store.cache.get(name, ref)
    if (!held) return { ...(await this.#loader.load(name, ref, patience)), wasAsked: true }
    const wasAsked = this.#backoff.reason === null
    if (wasAsked) await this.#refresher.refresh(held)
    const failure = wasAsked ? held.failure : this.#backoff.reason
    if (failure === null) return { entry: this.#store.cache.get(name, ref) ?? held, servedFrom: 'network', wasAsked }
    if (isGone(failure) || (isRefused(failure) && this.#ageOf(held).isPastStale)) throw failure
    held.failure = failure
    return { entry: held, servedFrom: 'memory', wasAsked }
  }

  /** A prompt of the application's own, where it has one. Throws the error otherwise. */
  async #otherwise(name: string, ref: string, options: GetPromptOptions, error: PromptsyncError): Promise<Prompt> {
    const { fallback } = options
    const local = await this.#local(name, ref, options)
    if (!local && fallback === undefined) throw error
    const decisions = local ?? (await this.#fallbacks.given(fallback as Fallback, error, name, ref))
    tell(() => this.#settings.onError(error, { name, ref }))
    const outcome = decisions.outcome(options as { tags?: Tags }, this.#canary, this.#clock.random)
    return toPrompt(outcome, { servedFrom: local ? 'local' : 'fallback', ageMs: 0, isStale: true })
  }

  /** The application's own file, where it wants that. One that cannot be read stops nobody who has a fallback. */
  async #local(name: string, ref: string, { fallback, fallbackToLocal }: GetPromptOptions): Promise<Decisions | null> {
    if (!fallbackToLocal) return null
    const folder = typeof fallbackToLocal === 'string' ? fallbackToLocal : this.#settings.promptsDir
    try {
      return await this.#fallbacks.local(folder, name, ref)
    } catch (error) {
      if (fallback === undefined) throw error
      tell(() => this.#settings.onError(toFailure(error), { name, ref }))
      return null
    }
  }

  #tellStale({ name, ref, failure }: Entry, ageMs: number): void {
    tell(() => this.#settings.onStale({ name, ref, ageMs, error: failure }))
  }

  /** All of them from memory, where they may be served unasked and are of one release. */
  #heldTogether(names: readonly string[], ref: string): Map<string, Together> | null {
    const { refreshStrategy } = this.#settings
    const entries = names.map((name) => this.#store.cache.get(name, ref))
    const nowMs = this.#clock.monotonic()
    const found = new Map<string, Together>()
    for (const entry of entries) {
      if (!entry) return null
      entry.usedAtMs = nowMs
      const { isExpired, isPastStale, ageMs, isStale } = this.#ageOf(entry, nowMs)
      if (isPastStale && refreshStrategy !== 'none') return null
      if (isExpired && refreshStrategy === 'blocking') return null
      found.set(entry.name, { decisions: entry.decisions, served: { servedFrom: 'memory', ageMs, isStale } })
      if (isExpired) this.#refresher.refreshSoon(entry)
    }
    return areAligned([...found.values()].map(({ decisions }) => decisions.plan)) ? found : null
  }

  async #obtainTogether(names: readonly string[], ref: string): Promise<Map<string, Together | PromptsyncError>> {
    const { reason } = this.#backoff
    // Who has something to serve waits for nobody who does not answer.
    if (reason && names.every((name) => this.#store.cache.get(name, ref))) {
      return this.#heldOtherwise(names, ref, { failure: reason, wasAsked: false })
    }
    try {
      return await this.#loader.loadMany(names, ref)
    } catch (error) {
      const failure = toFailure(error)
      if (isGone(failure)) throw failure
      return this.#heldOtherwise(names, ref, { failure, wasAsked: true })
    }
  }

  /** What is in memory and on disk, while the service cannot be asked. */
  async #heldOtherwise(
    names: readonly string[],
    ref: string,
    { failure, wasAsked }: { failure: PromptsyncError; wasAsked: boolean },
  ): Promise<Map<string, Together | PromptsyncError>> {
    const found = new Map<string, Together | PromptsyncError>()
    for (const name of names) {
      const held = this.#store.cache.get(name, ref)
      const entry = held ?? (await this.#loader.loadStored(name, ref))
      if (!entry) {
        found.set(name, failure)
        continue
      }
      const { ageMs, isPastStale } = this.#ageOf(entry)
      entry.failure = failure
      if (isPastStale && isRefused(failure)) found.set(name, failure)
      else found.set(name, { decisions: entry.decisions, served: { servedFrom: held ? 'memory' : 'disk', ageMs, isStale: true } })
      if (isPastStale && wasAsked) this.#tellStale(entry, ageMs)
    }
    if (wasAsked) tell(() => this.#settings.onError(failure, { name: null, ref }))
    return found
  }

  /** Hears what happens in the project, and renews what it is about. */
  #listen(): void {
    const { signal } = this.#closing
    if (signal.aborted) return
    this.#isListening = true
    const { isOwnFetch, url, onError } = this.#settings
    const following = followEvents({
      connection: this.#connection,
      open: (isOwnFetch ? null : openByNode(url)) ?? openByFetch,
      clock: this.#clock,
      signal,
      setTimer: setBackgroundTimer,
      onBreak: (error) => {
        tell(() => onError(error, { name: null, ref: null }))
        return 'goes on'
      },
    })
    void this.#follow(following)
  }

  async #follow(events: AsyncIterable<PromptsyncEvent>): Promise<void> {
    for await (const event of events) {
      this.#loader.forgetAbsent()
      const marked = this.#store.mark((entry) => affects(event, entry), isExact(event) ? 'replaced' : 'doubtful')
      for (const entry of marked) if (this.#store.isInUse(entry)) this.#refresher.refreshSoon(entry)
    }
  }
}

type Together = { decisions: Decisions; served: Served }
