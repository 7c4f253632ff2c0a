import { createHash, randomInt } from 'node:crypto'
import { isConnectionLoss } from '../../database/failures.js'
import type { Deps } from '../../deps.js'
import { AppError, type ErrorCode } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import { type Builtin, hardCoded } from '../../lib/builtins.js'
import { bucketCount, canaryBucket, isInCanary } from '../../lib/canary.js'
import type { VersionContent } from '../../lib/content-hash.js'
import { refOf } from '../../lib/names.js'
import { bodyVariables } from '../../lib/prompt-variables.js'
import { RenderError } from '../../lib/rendering/render-error.js'
import { UnitBuilder } from '../../lib/rendering/units.js'

import { TemplateError } from '../../lib/template/template-error.js'
import type { Variable } from '../../lib/template/variables.js'
import { chooseVariant, type Tags } from '../../lib/variants.js'
import type { IncludedPrompts } from '../includes/includes.schema.js'
import { type IncludedVersion, toIncludedPrompts } from '../includes/includes.service.js'
import {
  type CanaryChoice,
  type Choice,
  type LoadedVersion,
  loadInRelease,
  loadVersion,
  notInRelease,
  resolveRef,
} from '../prompts/resolve.service.js'
import type { FetchedPrompt } from './fetch.schema.js'

export type FetchRequest = {
  name: string
  ref: string
  tags: Tags
  /** The canary subject; without one every request draws anew. */
  key?: string | undefined
  canary: 'on' | 'off'
  fallback: 'none' | 'default'
}

/** `body` depends on the outcome alone; what depends on the subject or on the moment stands beside it. */
export type Outcome = {
  body: FetchedPrompt
  bucket: number | null
  caching: 'immutable' | 'movable' | 'none'
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
])

/** Answers a prompt by name and ref, as the registry has it or, where asked, from the built-ins. Throws `AppError`s. */
export async function fetchPrompt(deps: Deps, project: Project, request: FetchRequest): Promise<Outcome> {
  const builtin = deps.builtins.get(request.name)
  if (request.ref === 'builtin' && builtin) return answerBuiltin(deps, request, builtin, 'default', 'movable')
  try {
    if (request.ref === 'builtin') throw unknownBuiltin(deps, request)
    return await fetchFromRegistry(deps, project, request)
  } catch (error) {
    const isUnknown = error instanceof AppError && replaceable.has(error.code)
    if (isUnknown && builtin && request.ref === 'latest' && error.code === 'prompt.not_found') {
      return answerBuiltin(deps, request, builtin, 'default', 'movable')
    }
    if (request.fallback === 'default' && (isUnknown || isConnectionLoss(error))) return answerFallback(deps, request)
    if (isUnknown && builtin && error.code === 'prompt.not_found') {
      throw new AppError(
        'prompt.not_found',
        `${error.message} A built-in "${request.name}" answers to the refs "latest" and "builtin", or to any with ?fallback=default.`,
      )
    }
    throw error
  }
}

function unknownBuiltin({ builtins }: Deps, { name }: FetchRequest): AppError {
  return new AppError('prompt.not_found', `No built-in prompt "${name}". The built-ins are ${[...builtins.keys()].join(', ')}.`)
}

/** The built-in of the name, else of its first path segment, else the built-in `default`, else a fixed text. */
function answerFallback(deps: Deps, request: FetchRequest): Outcome {
  const [category = ''] = request.name.split('/')
  const own = deps.builtins.get(request.name) ?? deps.builtins.get(category)
  if (own) return answerBuiltin(deps, request, own, 'default', 'none')
  return answerBuiltin(deps, request, deps.builtins.get('default') ?? hardCoded, 'fallback', 'none')
}

function answerBuiltin(
  deps: Deps,
  { name, ref }: FetchRequest,
  { version, contentHash }: Builtin,
  source: FetchedPrompt['source'],
  caching: Outcome['caching'],
): Outcome {
  const body: FetchedPrompt = {
    ...{ name, version: 'builtin', ref, release: null },
    ...contentOf(deps, { version, contentHash, includes: {} }, {}),
    contentHash,
    ...{ source, canary: null, git: null, createdAt: null },
  }
  return { body, bucket: null, caching }
}

async function fetchFromRegistry(deps: Deps, project: Project, request: FetchRequest): Promise<Outcome> {
  const choice = await resolveRef(deps.db, project, request.name, request.ref)
  const running = 'canary' in choice && request.canary === 'on' ? choice.canary : null
  const { bucket, selected } = draw(running, request.key)
  const stable = await loadTarget(deps, choice)
  const other = running && (await loadTarget(deps, { promptId: choice.promptId, ...running.target }))
  const served = selected && other ? other : stable
  if (!served.version) throw notInRelease(project, request.name, request.ref, served.release ?? request.ref)
  const canary = running &&
    other && {
      release: other.release,
      version: other.version ? refOf('v', other.version) : null,
      percentage: running.basisPoints / 100,
      selected,
    }
  return {
    body: toFetchedPrompt(deps, request, served.version, served.release, canary),
    bucket,
    caching: choice.by === 'version' || choice.by === 'release' ? 'immutable' : 'movable',
  }
}

/** Which side of a canary a subject gets. Without a key there is no bucket to tell of: every request draws anew. */
function draw(canary: CanaryChoice<unknown> | null, key: string | undefined): { bucket: number | null; selected: boolean } {
  if (!canary) return { bucket: null, selected: false }
  const bucket = key === undefined ? null : canaryBucket(canary.salt, key)
  return { bucket, selected: isInCanary(bucket ?? randomInt(bucketCount), canary.basisPoints) }
}

type Target = { promptId: bigint } & ({ versionId: string } | { releaseId: bigint })

async function loadTarget(
  { db }: Deps,
  target: Target | Choice,
): Promise<{ release: string | null; version: LoadedVersion | null }> {
  if ('releaseId' in target) return loadInRelease(db, target.releaseId, target.promptId)
  return { release: null, version: await loadVersion(db, target.versionId) }
}

function toFetchedPrompt(
  deps: Deps,
  { name, ref, tags }: FetchRequest,
  version: LoadedVersion,
  release: string | null,
  canary: FetchedPrompt['canary'],
): FetchedPrompt {
  const { made, contentHash } = version
  if (contentHash === null) throw purged(name, refOf('v', version))
  const includes = toIncludedPrompts(version.id, version.includes, (included) => purgedWithin(name, version, included))
  return {
    ...{ name, version: refOf('v', version), ref, release: release ?? refOf('r', made) },
    ...contentOf(deps, { version: version.content, contentHash, includes }, tags),
    contentHash,
    source: 'registry',
    canary,
    git: made.gitCommit === null ? null : { repo: made.gitRepo, commit: made.gitCommit, path: version.path },
    createdAt: version.createdAt.toISOString(),
  }
}

function purged(name: string, version: string): AppError {
  return new AppError('version.purged', `Version ${version} of prompt "${name}" was purged: its content is gone for good.`)
}

function purgedWithin(name: string, version: LoadedVersion, included: IncludedVersion): AppError {
  return new AppError(
    'version.purged',
    `Version ${refOf('v', version)} of prompt "${name}" includes version ${refOf('v', included)} of "${included.name}", which was purged. Push "${included.name}" anew.`,
  )
}

/** A version with all that it includes. */
type Whole = { version: VersionContent; contentHash: string; includes: IncludedPrompts }

/** The part of an answer that comes from the content: the best variant's body, or the version's own. */
function contentOf(deps: Deps, { version, contentHash, includes }: Whole, tags: Tags) {
  const variant = chooseVariant(version.variants, tags)
  const { content, messages } = variant ?? version
  return {
    type: version.type,
    template: version.template,
    content,
    messages,
    config: version.config,
    inputs: version.inputs,
    variables: variablesOf(deps, { ...version, content, messages }, contentHash, includes).map(withoutPlainPath),
    includes,
    tags: variant?.tags ?? {},
  }
}

/** Found by parsing, once: kept under the hash of the whole and that of the body, for a text that is purged stays in no memory. */
function variablesOf(
  deps: Deps,
  { content, messages, template }: VersionContent,
  whole: string,
  flat: IncludedPrompts,
): Variable[] {
  if (template === 'none') return []
  const body = createHash('sha256')
    .update(messages ? JSON.stringify(messages) : (content ?? ''))
    .digest('base64')
  const key = `${whole} ${body}`
  const known = deps.variables.get(key)
  if (known) return known
  const builder = new UnitBuilder(flat)
  try {
    const found = bodyVariables({ content, messages }, (text) => builder.build(text, 'content'))
    deps.variables.set(key, found)
    return found
  } catch (error) {
    // What an older version of this program took for a template stays fetchable, though nothing can be told of it.
    if (!(error instanceof RenderError) && !(error instanceof TemplateError)) throw error
    deps.log.warn({ contentHash: whole, reason: error.message }, 'a stored template cannot be read any more')
    return []
  }
}

/** A variable that is only used as a whole has no more to tell than its name. */
function withoutPlainPath({ name, required, paths }: Variable): FetchedPrompt['variables'][number] {
  return paths.length === 1 && paths[0] === name ? { name, required } : { name, required, paths }
}
