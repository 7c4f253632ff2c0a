import type { z } from 'zod'
import type { AllowedHosts } from '../lib/allowed-hosts.js'
import type { Outbound } from '../lib/outbound.js'

/** A file as a source lists it. In one source equal hashes mean equal bytes. */
export type ListedFile = {
  /** Relative, separated by `/`. */
  path: string
  hash: string
  /** Null where the listing does not tell. */
  sizeBytes: number | null
}

/** What a source holds that is not taken, a symbolic link or a submodule say. */
export type IgnoredFile = { path: string; why: string }

/** What the files are a state of. */
export type ListedCommit = { repo: string; commit: string; branch: string | null }

/** Opaque to all but the provider that made it, and at most `maxRevisionLength` characters. */
export type Revision = string

export type Listing =
  | { revision: Revision; unchanged: true }
  | { revision: Revision; unchanged: false; files: ListedFile[]; ignored: IgnoredFile[]; commit: ListedCommit | null }

/** One call to the outside, for the log of a run. Neither `what` nor `error` holds a secret. */
export type FetchNote = {
  /** A file's path, or what was asked of the other side. */
  what: string
  /** The status of HTTP where it was HTTP. */
  statusCode: number | null
  durationMs: number
  error: string | null
}

export type ProviderLimits = { files: number; fileBytes: number; totalBytes: number }

/** What a provider works with. All of it is the caller's: when it ends, how much it may take, where it may go. */
export type ProviderContext = {
  /** Ends whatever is under way; programs that were started are killed. */
  signal: AbortSignal
  /** The longest that one request to the other side may take. */
  requestTimeoutMs: number
  limits: ProviderLimits
  /** The only way to send HTTP requests. */
  outbound: Outbound
  /** For those that connect by other means: every address is to be checked, and the checked one connected to. */
  allowedHosts: AllowedHosts
  /** Absolute directories that files may be read from. */
  fileRoots: readonly string[]
  /** An empty directory of this run, removed after it. What `list` leaves there `read` finds. */
  workspace: string
  note(note: FetchNote): void
}

/**
 * A kind of place that prompts come from. Every method rejects with an `AppError` of the codes `source.*`, whose text names
 * what was asked and what to do, and holds no secret.
 */
export type Provider<Config = unknown> = {
  name: string
  /** A strict object. Fields that hold credentials are marked by `secret()`, and are strings or records of strings. */
  config: z.ZodType<Config>
  /** Fields that hold texts of prompts by their paths: the audit, which is never erased, tells the paths alone. */
  contentFields?: readonly string[]
  /** Whether only a global admin key may set one up. */
  needsGlobalAdmin: boolean
  /** What the credentials are meant for, `https://github.com` say: with another one stored credentials are not used. */
  target(config: Config): string
  /** Whether it can be reached and is what it should be. Rejects where not. */
  check(config: Config, context: ProviderContext): Promise<void>
  /** What there is now, or that nothing has changed since `previous`. A listing over `limits.files` is refused. */
  list(config: Config, previous: Revision | null, context: ProviderContext): Promise<Listing>
  /**
   * The bytes of listed files, in any order, each exactly as it was listed: a file that was changed meanwhile is refused, not
   * mixed in. Sizes over the limits are refused, with the path.
   */
  read(
    config: Config,
    files: readonly ListedFile[],
    revision: Revision,
    context: ProviderContext,
  ): AsyncIterable<{ path: string; bytes: Buffer }>
}

/** Of validators for 500 URLs, say. */
export const maxRevisionLength = 256 * 1024

/** Marks a field of a config as a credential: it is stored encrypted, and never answered. */
export function secret<T extends z.ZodType>(schema: T): T {
  return schema.meta({ secret: true }) as T
}

/** The names of the fields that `secret()` marks. */
export function secretFields(provider: Pick<Provider, 'config'>): string[] {
  const { shape } = provider.config as unknown as { shape: Record<string, z.ZodType> }
  return Object.entries(shape).flatMap(([name, field]) => (isSecret(field) ? [name] : []))
}

/** The mark may be inside of `optional()` and the like. */
function isSecret(field: z.ZodType): boolean {
  if (field.meta()?.secret === true) return true
  const { innerType } = field.def as { innerType?: z.ZodType }
  return innerType !== undefined && isSecret(innerType)
}
