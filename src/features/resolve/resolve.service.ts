import { hash } from 'node:crypto'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { joinFiles } from '../../lib/path-file/routing.js'
import { toRoutingValue } from '../../lib/path-file/values.js'
import { chooseBody, type Finished, type Mode, servedSide, toFinished } from '../../lib/plan.js'
import type { Pointers, ReleasePointer } from '../../lib/pointers.js'
import { type HeldProject, type Reader, routingKey } from '../../lib/read-cache.js'
import {
  type Choice,
  chooseFiles,
  type KeptAnswer,
  keepAnswer,
  type RoutedSource,
  type RoutingTable,
  type Step,
} from '../../lib/routing-table.js'
import { freshnessOf, type SourceState } from '../../lib/source-state.js'
import type { Tags } from '../../lib/variants.js'
import type { FetchedPrompt } from '../fetch/fetch.schema.js'
import {
  answerFallback,
  answerLastResort,
  cacheControl,
  draw,
  isNotModified,
  type Outcome,
  outcomeHeaders,
} from '../fetch/fetch.service.js'
import { finishedFor, planFor, refuseSide } from '../reads/plans.service.js'
import { findRelease, knownStates, routingOf, sourceStates } from '../reads/routing.service.js'
import type { RenderRequest } from '../render/render.schema.js'
import { renderOutcome } from '../render/render.service.js'
import type { levels, ResolvePreview } from './resolve.schema.js'

export { isNotModified, outcomeHeaders }

export type ResolveRequest = {
  context: Readonly<Record<string, string>>
  /** By default the default alias of the project. */
  ref: string | undefined
  tags: Tags
  key: string | undefined
  canary: 'on' | 'off'
}

export type Level = (typeof levels)[number]

/** How an answer was found. */
export type Trace = {
  level: Level
  stale: boolean
  route: string | null
  tried: string[]
  origin: { source: string; paths: string[] } | null
}

export type Resolved = { outcome: Outcome; trace: Trace }

/** An alias may move while it is followed: then it is followed anew. */
const maxAttempts = 3
const maxTried = 100
const maxTriedLength = 500
const lastResort = 'default'

/**
 * What a context is routed to. For a caller who is known it never fails: where the registry has nothing, or cannot be asked,
 * it answers the built-in of the category, then the one for everything, then a fixed text. Without a project, which could not
 * be told from memory while the database is away, these are all that there is.
 */
export async function resolvePrompt(deps: Deps, reader: Reader | null, request: ResolveRequest): Promise<Resolved> {
  const tried: string[] = []
  const found = reader && (await fromRegistry(deps, reader, request, tried))
  const resolved = found ?? fromBuiltins(deps, reader, request, tried)
  deps.cache.counts.resolved[resolved.trace.level] += 1
  return resolved
}

async function fromRegistry(deps: Deps, reader: Reader, request: ResolveRequest, tried: string[]): Promise<Resolved | null> {
  try {
    return await followRoutes(deps, reader, request, tried)
  } catch (err) {
    if (err instanceof AppError) deps.log.debug({ err }, 'The registry has no answer to a context.')
    else deps.log.error({ err }, 'A context could not be resolved for a reason of ours; a built-in was answered.')
    return null
  }
}

/** The release that a ref means for this subject. `mode` is null where no alias decided. */
type Chosen = { release: ReleasePointer; mode: Mode | null; bucket: number | null; ref: string }

async function chooseRelease(deps: Deps, held: HeldProject, ref: string, request: ResolveRequest): Promise<Chosen | null> {
  const pointer = held.pointers.aliases.get(ref)
  if (!pointer) {
    const release = await findRelease(deps, held, ref)
    return release && { release, mode: null, bucket: null, ref: release.ref }
  }
  const { mode, bucket } = draw(pointer, request)
  const release = mode === 'canary' && pointer.canary ? pointer.canary.target : pointer.target
  return { release, mode, bucket, ref }
}

function refOf({ pointers }: HeldProject, { ref }: ResolveRequest): string {
  return ref ?? pointers.project.settings.defaultAlias
}

async function followRoutes(deps: Deps, reader: Reader, request: ResolveRequest, tried: string[]): Promise<Resolved | null> {
  const { held } = reader
  const states = await sourceStates(deps, held)
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const { pointers } = held
    const chosen = await chooseRelease(deps, held, refOf(held, request), request)
    if (!chosen) return null
    const table = await routingOf(deps, pointers, chosen.release)
    const { choice, steps } = chooseFiles(table, request.context, deps.now(), usableBy(deps, states))
    tried.splice(0, tried.length, ...triedIn(steps))
    if (!choice) return null
    const resolved = await answerChoice(deps, reader, request, chosen, choice)
    if (!resolved) continue
    const stale = reader.staleSeconds !== null || freshness(deps, states, choice.source) === 'stale'
    if (stale) deps.cache.counts.stale += 1
    const origin = { source: choice.source.name, paths: choice.files.map(({ path }) => path) }
    const level = stale ? ('stale' as const) : ('registry' as const)
    const answer = { outcome: resolved, trace: { level, stale, route: choice.route, tried, origin } }
    const isPlain = resolved.bucket === null || request.key !== undefined
    if (chosen.mode && states && reader.staleSeconds === null && pointers.stamp === held.pointers.stamp && isPlain) {
      const plain = { ref: chosen.ref, mode: chosen.mode, tags: request.tags, contextText: textOf(request.context) }
      keepAnswer(table, answerKey(deps, table, states, plain), {
        ...{ stamp: pointers.stamp, finished: withTrace(answer), version: resolved.version, level },
      })
      keepTable(deps, pointers, chosen.release, table)
    }
    return answer
  }
  return null
}

/** A context in the form in which it stands in a plain query. */
function textOf(context: ResolveRequest['context']): string {
  return Object.entries(context).reduce((text, [name, value]) => `${text}${name}=${value}&`, '')
}

/** A table grows with its answers. */
function keepTable({ cache }: Deps, pointers: Pointers, { uid }: ReleasePointer, table: RoutingTable): void {
  const key = routingKey(pointers, uid)
  if (cache.entries.peek(key) !== table) return
  cache.entries.delete(key)
  cache.entries.set(key, table)
}

function freshness({ now }: Deps, states: ReadonlyMap<string, SourceState> | null, { id }: RoutedSource) {
  if (states === null) return 'unknown' as const
  const state = states.get(id)
  return state ? freshnessOf(state, now().getTime()) : ('removed' as const)
}

/** One that is gone, or was removed, is passed by as if it had no PATH file. */
function usableBy(deps: Deps, states: ReadonlyMap<string, SourceState> | null): (source: RoutedSource) => boolean {
  return (source) => !['gone', 'removed'].includes(freshness(deps, states, source))
}

function triedIn(steps: Step[]): string[] {
  const paths = steps.flatMap((step) => {
    if (step.outcome === 'skipped') return []
    return step.outcome === 'chosen' ? step.paths : [step.missing]
  })
  return paths.slice(0, maxTried).map((path) => path.slice(0, maxTriedLength))
}

/** The answer of what was chosen; null where the alias has moved on meanwhile. */
async function answerChoice(
  deps: Deps,
  { held, staleSeconds }: Reader,
  request: ResolveRequest,
  chosen: Chosen,
  { files }: Choice,
): Promise<Outcome | null> {
  const parts: Outcome[] = []
  for (const { name } of files) {
    const plan = await planFor(deps, held, name, chosen.ref)
    // A pin has a canary of its own.
    const { mode, bucket } =
      plan.by === 'alias' && chosen.mode ? { mode: chosen.mode, bucket: chosen.bucket } : draw(plan, request)
    const side = servedSide(plan, mode)
    if (plan.by === 'alias' && side.release?.uid !== chosen.release.uid) return null
    refuseSide(held.pointers.project, plan, side)
    const finished = await finishedFor(deps, plan, mode, chooseBody(side, request.tags))
    parts.push({
      ...{ finished, version: side.version ?? '', source: 'registry', bucket, staleSeconds },
      // Routes depend on what becomes of the source, and perhaps on the time.
      caching: cacheControl.movable,
    })
  }
  const [first] = parts
  if (!first) throw new Error('A route was chosen without a file.')
  return parts.length === 1 ? first : joined(first, parts)
}

/** The texts of several prompts as one; what else is answered is of the first, and the variables are those of all. */
function joined(first: Outcome, parts: Outcome[]): Outcome {
  const prompts = parts.map(({ finished }) => JSON.parse(finished.json.toString('utf8')) as FetchedPrompt)
  const chat = prompts.find(({ type }) => type === 'chat')
  if (chat) throw new AppError('include.unfit', `Prompt "${chat.name}" is a chat prompt, and only texts can be joined.`)
  if (new Set(prompts.map(({ template }) => template)).size > 1)
    throw new AppError('include.unfit', 'Templates cannot be joined with texts that are sent as they are.')
  const variables = new Map(prompts.flatMap((prompt) => prompt.variables.map((one) => [one.name, one] as const)))
  for (const { name, required } of prompts.flatMap((prompt) => prompt.variables)) {
    const known = variables.get(name)
    if (known && required) variables.set(name, { ...known, required })
  }
  const whole = {
    ...(prompts[0] as FetchedPrompt),
    content: joinFiles(prompts.map(({ content }) => content ?? '')),
    variables: [...variables.values()],
    includes: Object.assign({}, ...prompts.map(({ includes }) => includes)),
    // Renderings are kept by it.
    contentHash: `sha256:${hash('sha256', prompts.map(({ contentHash, tags }) => `${contentHash} ${JSON.stringify(tags)}`).join('\n'))}`,
  }
  return { ...first, finished: toFinished(Buffer.from(JSON.stringify(whole))) }
}

/** What the built-ins have for a category; the one for everything is the last resort, whichever way it is found. */
function fromBuiltins(deps: Deps, reader: Reader | null, request: ResolveRequest, tried: string[]): Resolved {
  const category = toRoutingValue(request.context.category ?? '')
  const ref = request.ref ?? reader?.held.pointers.project.settings.defaultAlias ?? 'production'
  const level = category !== null && category !== lastResort && deps.builtins.has(category) ? 'default' : 'fallback'
  const outcome =
    level === 'default' && category
      ? answerFallback(deps, { name: category, ref })
      : answerLastResort(deps, { name: lastResort, ref })
  return { outcome, trace: { level, stale: false, route: null, tried, origin: null } }
}

/** What is asked for, as what is kept of answers is told apart by. */
export type Plain = { ref: string; key: string | undefined; canary: 'on' | 'off'; tags: Tags; contextText: string }

/** The answer that was given to the same question a moment ago, if it still holds; nothing is loaded. */
export function knownAnswer(deps: Deps, held: HeldProject, plain: Plain): { answer: KeptAnswer; bucket: number | null } | null {
  const pointer = held.pointers.aliases.get(plain.ref)
  if (!pointer) return null
  const { mode, bucket } = draw(pointer, plain)
  const release = mode === 'canary' && pointer.canary ? pointer.canary.target : pointer.target
  const table = deps.cache.entries.get(routingKey(held.pointers, release.uid)) as RoutingTable | undefined
  const states = table && knownStates(deps, held)
  if (!table || !states) return null
  const answer = table.answers.get(answerKey(deps, table, states, { ...plain, mode }))
  return answer?.stamp === held.pointers.stamp ? { answer, bucket } : null
}

function answerKey(
  deps: Deps,
  { sources, isTimed }: RoutingTable,
  states: ReadonlyMap<string, SourceState>,
  { ref, mode, tags, contextText }: Pick<Plain, 'ref' | 'tags' | 'contextText'> & { mode: Mode },
): string {
  const minute = isTimed ? Math.floor(deps.now().getTime() / 60_000) : ''
  let key = `${ref} ${mode} ${minute} `
  for (const source of sources) key += freshness(deps, states, source)
  for (const tag in tags) key += ` ${tag}:${tags[tag]}`
  return `${key}\n${contextText}`
}

/** The answer of a fetch with how it was found. */
export function withTrace({ outcome, trace }: Resolved): Finished {
  const { json } = outcome.finished
  const told = JSON.stringify(trace).slice(1)
  return toFinished(Buffer.concat([json.subarray(0, json.length - 1), Buffer.from(`,${told}`)]))
}

/** The same, rendered, as JSON. Throws 422s that name all that is wrong with the variables. */
export async function renderResolved(
  deps: Deps,
  reader: Reader | null,
  request: ResolveRequest,
  rendering: Pick<RenderRequest, 'variables' | 'strict'>,
): Promise<{ text: string; headers: Record<string, string> }> {
  const { outcome, trace } = await resolvePrompt(deps, reader, request)
  const rendered = renderOutcome(deps, outcome, rendering)
  return { text: `${rendered.slice(0, -1)},${JSON.stringify(trace).slice(1)}`, headers: outcomeHeaders(outcome) }
}

/** Why a context gets what it gets, step by step. */
export async function previewResolution(deps: Deps, reader: Reader, request: ResolveRequest): Promise<ResolvePreview> {
  const { held } = reader
  const ref = refOf(held, request)
  const states = await sourceStates(deps, held)
  const chosen = await chooseRelease(deps, held, ref, request)
  const table = chosen ? await routingOf(deps, held.pointers, chosen.release) : null
  const steps = table ? chooseFiles(table, request.context, deps.now(), usableBy(deps, states)).steps : []
  const { outcome, trace } = await resolvePrompt(deps, reader, request)
  const { name } = JSON.parse(outcome.finished.json.toString('utf8')) as FetchedPrompt
  return {
    ...{ ref, release: chosen?.release.ref ?? null, context: request.context, level: trace.level, prompt: name },
    sources: (table?.sources ?? []).map((source) => ({
      ...{ name: source.name, freshness: freshness(deps, states, source) },
      ...{ hasPathFile: source.pathFile !== null, files: source.files.size },
    })),
    steps: steps.map(toldStep),
    problem: trace.origin ? null : problemOf(ref, chosen, table, steps),
  }
}

function toldStep(step: Step): ResolvePreview['steps'][number] {
  const { source, route, outcome } = step
  if (step.outcome === 'skipped') return { source, route, outcome, paths: [], why: step.why }
  if (step.outcome === 'missing') {
    return {
      source,
      route,
      outcome,
      paths: step.paths,
      why: `Source "${step.of}" has no file "${step.missing}" in this release.`,
    }
  }
  return { source, route, outcome, paths: step.paths, why: `All of its files are in source "${step.of}".` }
}

function problemOf(ref: string, chosen: Chosen | null, table: RoutingTable | null, steps: Step[]): string {
  if (!chosen) return `There is no release "${ref}". Sync a source, or push to that alias.`
  if (!table?.sources.some(({ pathFile }) => pathFile)) return `No source of release ${chosen.release.ref} has a PATH file.`
  if (steps.length === 0) return 'No source with a PATH file can be used: they are removed, or out of reach for too long.'
  const found = steps.find(({ outcome }) => outcome === 'chosen')
  return found ? `Route "${found.route}" leads to a prompt that cannot be answered.` : 'No route leads to files that are there.'
}
