import { randomInt } from 'node:crypto'
import type { Deps } from '../../deps.js'
import { AppError, type ErrorCode } from '../../errors.js'
import { type Builtin, hardCoded } from '../../lib/builtins.js'
import { bucketCount, canaryBucket, isInCanary } from '../../lib/canary.js'
import { chooseBody, type Finished, type Mode, type Plan, type ResolvedBy, servedSide, toFinished } from '../../lib/plan.js'
import type { Reader } from '../../lib/read-cache.js'
import type { Tags } from '../../lib/variants.js'
import { assembleAnswer, type Envelope } from '../../lib/version-record.js'
import { isUnavailable } from '../reads/access.service.js'
import { finishedFor, planFor, refuseSide } from '../reads/plans.service.js'
import { builtinRecord, findVariables } from '../reads/records.service.js'

export type FetchRequest = {
  name: string
  ref: string
  tags: Tags
  /** The canary subject; without one every request draws anew. */
  key?: string | undefined
  canary: 'on' | 'off'
  fallback: 'none' | 'default'
}

/** `finished` depends on the outcome alone; what depends on the subject or on the moment stands beside it. */
export type Outcome = {
  finished: Finished
  version: string
  source: Envelope['source']
  bucket: number | null
  /** What `Cache-Control` says. */
  caching: string
  /** For how many seconds it could not be confirmed; null where it was, and for built-ins. */
  staleSeconds: number | null
}

export const cacheControl = {
  immutable: 'private, max-age=86400, immutable',
  movable: 'private, max-age=0, stale-if-error=86400',
  none: 'no-store',
}

/** Labels and numbers are given once, so what they name never changes. */
export function fetchCaching(by: ResolvedBy): string {
  return by === 'version' || by === 'release' ? cacheControl.immutable : cacheControl.movable
}

/** What a 404 or a lost database may be replaced by, where a fallback is asked for. */
const replaceable = new Set<ErrorCode>([
  'prompt.not_found',
  'prompt.archived',
  'prompt.not_in_release',
  'ref.not_found',
  'release.not_found',
  'alias.not_found',
  'version.purged',
  'database.unavailable',
  'read.busy',
])

/** Answers a prompt by name and ref, as the registry has it or, where asked, from the built-ins. Throws `AppError`s. */
export async function fetchPrompt(deps: Deps, reader: Reader, request: FetchRequest): Promise<Outcome> {
  try {
    return await registryOrBuiltin(deps, request, {
      ofRegistry: () => fetchFromRegistry(deps, reader, request),
      ofBuiltin: (builtin) => answerBuiltin(deps, request, builtin, 'default', cacheControl.movable),
    })
  } catch (error) {
    const isUnknown = error instanceof AppError && replaceable.has(error.code)
    if (request.fallback === 'default' && (isUnknown || isUnavailable(error))) return answerFallback(deps, request)
    throw error
  }
}

type Wanted = Pick<FetchRequest, 'name' | 'ref'>

/**
 * What the registry has, or the built-in where that is what the ref means: `builtin`, and `latest` of what is no prompt of
 * the project. Throws what the registry does.
 */
export async function registryOrBuiltin<T>(
  deps: Deps,
  { name, ref }: Wanted,
  { ofRegistry, ofBuiltin }: { ofRegistry: () => Promise<T>; ofBuiltin: (builtin: Builtin) => T },
): Promise<T> {
  const builtin = deps.builtins.get(name)
  if (ref === 'builtin') {
    if (!builtin) throw unknownBuiltin(deps, name)
    return ofBuiltin(builtin)
  }
  try {
    return await ofRegistry()
  } catch (error) {
    if (!builtin || !(error instanceof AppError) || error.code !== 'prompt.not_found') throw error
    if (ref === 'latest') return ofBuiltin(builtin)
    throw new AppError(
      'prompt.not_found',
      `${error.message} A built-in "${name}" answers to the refs "latest" and "builtin", or to any with ?fallback=default.`,
    )
  }
}

function unknownBuiltin({ builtins }: Deps, name: string): AppError {
  return new AppError('prompt.not_found', `No built-in prompt "${name}". The built-ins are ${[...builtins.keys()].join(', ')}.`)
}

/** The built-in of the name, else of its first path segment, else the built-in `default`, else a fixed text. */
export function answerFallback(deps: Deps, request: Wanted): Outcome {
  const [category = ''] = request.name.split('/')
  const own = deps.builtins.get(request.name) ?? deps.builtins.get(category)
  if (own) return answerBuiltin(deps, request, own, 'default', cacheControl.none)
  return answerLastResort(deps, request)
}

/** The built-in for everything, or, where even that is gone, a fixed text. */
export function answerLastResort(deps: Deps, request: Wanted): Outcome {
  return answerBuiltin(deps, request, deps.builtins.get('default') ?? hardCoded, 'fallback', cacheControl.none)
}

export function answerBuiltin(
  deps: Deps,
  { name, ref }: Wanted,
  builtin: Builtin,
  source: Envelope['source'],
  caching: string,
): Outcome {
  const record = builtinRecord(builtin)
  findVariables(deps, record, 0)
  const finished = toFinished(assembleAnswer(record, 0, { name, ref, release: null, source, canary: null }))
  return { finished, version: record.version, source, bucket: null, caching, staleSeconds: null }
}

async function fetchFromRegistry(deps: Deps, { held, staleSeconds }: Reader, request: FetchRequest): Promise<Outcome> {
  const plan = await planFor(deps, held, request.name, request.ref)
  const { mode, bucket } = draw(plan, request)
  const side = servedSide(plan, mode)
  refuseSide(held.pointers.project, plan, side)
  const finished = await finishedFor(deps, plan, mode, chooseBody(side, request.tags))
  if (staleSeconds !== null) deps.cache.counts.stale += 1
  return {
    finished,
    version: side.version ?? '',
    source: 'registry',
    bucket,
    caching: fetchCaching(plan.by),
    staleSeconds,
  }
}

/** Which side of a canary a subject gets. Without a key there is no bucket to tell of: every request draws anew. */
export function draw(
  plan: { canary: Pick<NonNullable<Plan['canary']>, 'basisPoints' | 'salt'> | null },
  { key, canary }: Pick<FetchRequest, 'key' | 'canary'>,
  drawBucket: () => number = () => randomInt(bucketCount),
): { mode: Mode; bucket: number | null } {
  if (!plan.canary || canary === 'off') return { mode: 'plain', bucket: null }
  const bucket = key === undefined ? null : canaryBucket(plan.canary.salt, key)
  const selected = isInCanary(bucket ?? drawBucket(), plan.canary.basisPoints)
  return { mode: selected ? 'canary' : 'stable', bucket }
}

/** The header fields that tell of an outcome: its version, where it comes from, and what depends on the subject or the moment. */
export function outcomeHeaders({ version, source, bucket, staleSeconds }: Outcome): Record<string, string> {
  return {
    'x-promptsync-version': version,
    'x-promptsync-source': staleSeconds === null ? source : 'stale',
    ...(staleSeconds === null ? {} : { age: String(staleSeconds) }),
    ...(bucket === null ? {} : { 'x-promptsync-bucket': String(bucket) }),
  }
}

/** `If-None-Match` compares weakly: a `W/` before the same tag is the same (RFC 9110, 13.1.2). */
export function isNotModified(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch === etag) return true
  return ifNoneMatch.split(',').some((candidate) => ['*', etag, `W/${etag}`].includes(candidate.trim()))
}
