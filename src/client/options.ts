import { labelPattern, slugPattern } from '../lib/names.js'
import { environmentVariable } from './platform.js'
import { PromptsyncError } from './problem.js'

/** How plans that are older than their time are renewed. */
export type RefreshStrategy =
  /** They are served, and renewed behind the caller's back. */
  | 'background'
  /** The caller waits for the new one, and gets the old one where that fails. */
  | 'blocking'
  /** Nothing is renewed for its age: by events and `refresh()` alone. */
  | 'none'

export type CacheStrategy = {
  /** How long a plan is served from memory without asking again: 60,000 ms, twice the interval of the polls. */
  memoryTtlMs?: number
  /**
   * How long after the server confirmed it a plan on disk is served without asking first: 60,000 ms. That it was confirmed once
   * more is written every ten minutes. Versions and releases get a day at least, and nothing more than `maxStaleMs` allows.
   */
  fileTtlMs?: number
  /** `background`. */
  refreshStrategy?: RefreshStrategy
  /** Of the memory, and of the folder: 100 MB each. What has not been used for longest goes first. */
  maxCacheSizeBytes?: number
}

/** What a prompt was served in spite of. `name` is null where it is about no single prompt. */
export type ErrorContext = { name: string | null; ref: string | null }

export type StaleServed = { name: string; ref: string; ageMs: number; error: PromptsyncError | null }

export type PromptManagerOptions = {
  /** Where the service is: `https://prompts.example.com`. By default `PROMPTSYNC_URL`. */
  url?: string
  /** A key, `ps_…`. By default `PROMPTSYNC_TOKEN`; without one only public projects can be read. */
  token?: string | null
  /** By default `PROMPTSYNC_PROJECT`, else the key's own project. */
  project?: string | null
  /** The ref of calls that name none: `production`. */
  defaultAlias?: string
  /**
   * A folder that keeps plans, so that an application starts while the service is away. Several processes may share it. Without
   * `project` the digest of the key is part of its file names, so that keys of two projects never read the same file.
   */
  cacheDir?: string
  /** How often plans in use are confirmed: 30,000 ms; 0 for never. */
  refreshIntervalMs?: number
  /** Whether canaries are taken part in: true. */
  respectCanary?: boolean
  cacheStrategy?: CacheStrategy
  /** From this age on a call asks the service before it serves a plan: a day. Versions, which never change, get a day more. */
  maxStaleMs?: number
  /** No call to the service takes longer: 5,000 ms. A push may take twelve times as long. */
  timeoutMs?: number
  /**
   * Whether to listen to what happens in the project, so that changes arrive at once: false. It takes a connection for each
   * process, of which a service holds 50 for a key. Polling goes on beside it. Through a `fetch` of your own it keeps a process
   * of Node alive until `close`.
   */
  events?: boolean
  /** The folder that `fallbackToLocal: true` reads: `./prompts`. */
  promptsDir?: string
  /** In place of the platform's own, for all calls. */
  fetch?: typeof globalThis.fetch
  /** Told of what went wrong behind an answer that was given all the same. */
  onError?: (error: PromptsyncError, context: ErrorContext) => void
  /** Told of a prompt that is served past `maxStaleMs`, each time that the service was asked for it in vain. */
  onStale?: (served: StaleServed) => void
}

/** The options with nothing left open. */
export type Settings = {
  url: string
  token: string | null
  project: string | null
  defaultAlias: string
  cacheDir: string | null
  refreshIntervalMs: number
  respectsCanary: boolean
  memoryTtlMs: number
  fileTtlMs: number
  refreshStrategy: RefreshStrategy
  maxCacheSizeBytes: number
  maxStaleMs: number
  timeoutMs: number
  /** A plan of no greater age may be served without a second look, whatever its kind. */
  freshMs: number
  hearsEvents: boolean
  promptsDir: string
  fetch: typeof globalThis.fetch
  /** Whether the caller brought the `fetch`: it may know a way that nothing else knows. */
  isOwnFetch: boolean
  onError: (error: PromptsyncError, context: ErrorContext) => void
  onStale: (served: StaleServed) => void
}

const minuteMs = 60_000
const dayMs = 86_400_000
const defaultCacheBytes = 100_000_000
/** Timers of all platforms count with 32 bits. */
const maxTimerMs = 2 ** 31 - 1

const known = new Set([
  ...['url', 'token', 'project', 'defaultAlias', 'cacheDir', 'refreshIntervalMs', 'respectCanary', 'cacheStrategy'],
  ...['maxStaleMs', 'timeoutMs', 'events', 'promptsDir', 'fetch', 'onError', 'onStale'],
])
const knownOfCache = new Set(['memoryTtlMs', 'fileTtlMs', 'refreshStrategy', 'maxCacheSizeBytes'])

/** What was asked for cannot be done: says which option is wrong. It never quotes a value, which may be a secret. */
export function invalidOption(option: string, what: string): PromptsyncError {
  return new PromptsyncError('client.invalid', `${option} ${what}`, { status: null })
}

/** Reads the options and the environment. Throws `client.invalid`, which names the option. */
export function readOptions(options: PromptManagerOptions): Settings {
  refuseUnknown(options, known, '')
  const { cacheStrategy = {} } = options
  refuseUnknown(cacheStrategy, knownOfCache, 'cacheStrategy.')
  const maxStaleMs = readNumber(options.maxStaleMs, 'maxStaleMs', { otherwise: dayMs, max: Number.POSITIVE_INFINITY })
  const caching = readCacheStrategy(cacheStrategy)
  const token = readToken(options.token === undefined ? environmentVariable('PROMPTSYNC_TOKEN') : options.token)
  return {
    url: readUrl(options.url ?? environmentVariable('PROMPTSYNC_URL')),
    token,
    project: readProject(options.project === undefined ? environmentVariable('PROMPTSYNC_PROJECT') : options.project),
    defaultAlias: readRef(options.defaultAlias ?? 'production', 'defaultAlias'),
    cacheDir: options.cacheDir === undefined ? null : readPath(options.cacheDir, 'cacheDir'),
    refreshIntervalMs: readNumber(options.refreshIntervalMs, 'refreshIntervalMs', { otherwise: minuteMs / 2, max: maxTimerMs }),
    respectsCanary: readFlag(options.respectCanary, 'respectCanary', true),
    ...caching,
    maxStaleMs,
    freshMs: Math.min(caching.memoryTtlMs, maxStaleMs, dayMs),
    timeoutMs: readNumber(options.timeoutMs, 'timeoutMs', { otherwise: 5_000, min: 1, max: maxTimerMs / 12 }),
    hearsEvents: readFlag(options.events, 'events', false),
    promptsDir: readPath(options.promptsDir ?? './prompts', 'promptsDir'),
    fetch: readFunction(options.fetch, 'fetch') ?? ((...request) => globalThis.fetch(...request)),
    isOwnFetch: options.fetch !== undefined,
    onError: readFunction(options.onError, 'onError') ?? (() => undefined),
    onStale: readFunction(options.onStale, 'onStale') ?? (() => undefined),
  }
}

function readCacheStrategy(given: CacheStrategy) {
  const { refreshStrategy = 'background' } = given
  if (!['background', 'blocking', 'none'].includes(refreshStrategy)) {
    throw invalidOption('cacheStrategy.refreshStrategy', 'must be "background", "blocking" or "none".')
  }
  const forEver = { otherwise: minuteMs, max: Number.POSITIVE_INFINITY }
  return {
    memoryTtlMs: readNumber(given.memoryTtlMs, 'cacheStrategy.memoryTtlMs', forEver),
    fileTtlMs: readNumber(given.fileTtlMs, 'cacheStrategy.fileTtlMs', forEver),
    maxCacheSizeBytes: readNumber(given.maxCacheSizeBytes, 'cacheStrategy.maxCacheSizeBytes', {
      otherwise: defaultCacheBytes,
      max: Number.MAX_SAFE_INTEGER,
    }),
    refreshStrategy,
  }
}

/** Throws where an object has a member that nobody knows: a slip would go unnoticed. */
export function refuseUnknown(given: object, names: ReadonlySet<string>, before: string): void {
  if (typeof given !== 'object' || given === null) throw invalidOption(before.slice(0, -1) || 'The options', 'must be an object.')
  for (const name of Object.keys(given)) {
    if (!names.has(name)) {
      throw invalidOption(`${before}${name.slice(0, 60)}`, `is no option. There are: ${[...names].join(', ')}.`)
    }
  }
}

function readUrl(given: unknown): string {
  if (given === null || given === '') throw invalidOption('url', 'is missing. Give it, or set PROMPTSYNC_URL.')
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : null
  if (!url || !/^https?:$/.test(url.protocol))
    throw invalidOption('url', 'must be an address such as "https://prompts.example.com".')
  if (url.username || url.password) throw invalidOption('url', 'must hold no user and no password. Give the key as token.')
  if (url.search || url.hash) throw invalidOption('url', 'must end with its path, without "?" and "#".')
  return url.href.replace(/\/+$/, '')
}

function readToken(given: unknown): string | null {
  if (given === null) return null
  const token = typeof given === 'string' ? given.trim() : ''
  if (!/^[\x21-\x7e]+$/.test(token)) throw invalidOption('token', 'must be a key such as "ps_…", or null for none.')
  return token
}

function readProject(given: unknown): string | null {
  if (given === null) return null
  if (typeof given !== 'string' || !slugPattern.test(given)) {
    throw invalidOption('project', 'must be 1 to 63 lower-case letters, digits or dashes, or null for that of the key.')
  }
  return given
}

/** Throws `client.invalid` for what no ref can be. */
export function readRef(given: unknown, option: string): string {
  if (typeof given === 'string' && labelPattern.test(given)) return given
  throw invalidOption(option, 'must be an alias, a version, a release, a commit, "latest" or "builtin".')
}

function readPath(given: unknown, option: string): string {
  if (typeof given === 'string' && given !== '' && !given.includes('\0')) return given
  throw invalidOption(option, 'must be the path of a folder.')
}

type Range = { otherwise: number; min?: number; max: number }

function readNumber(given: unknown, option: string, { otherwise, min = 0, max }: Range): number {
  const value = given === undefined ? otherwise : given
  if (typeof value === 'number' && value >= min && value <= max) return value
  const upTo = Number.isFinite(max) ? ` and at most ${Math.floor(max)}` : ''
  throw invalidOption(option, `must be a number of at least ${min}${upTo}.`)
}

function readFlag(given: unknown, option: string, otherwise: boolean): boolean {
  if (given === undefined) return otherwise
  if (typeof given === 'boolean') return given
  throw invalidOption(option, 'must be true or false.')
}

function readFunction<Wanted extends (...parts: never[]) => unknown>(
  given: Wanted | undefined,
  option: string,
): Wanted | undefined {
  if (given === undefined || typeof given === 'function') return given
  throw invalidOption(option, 'must be a function.')
}
