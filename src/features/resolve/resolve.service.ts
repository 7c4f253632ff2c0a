import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Reader } from '../../lib/read-cache.js'
import type { FetchedPrompt } from '../fetch/fetch.schema.js'
import { isNotModified, outcomeHeaders } from '../fetch/fetch.service.js'
import type { RenderRequest } from '../render/render.schema.js'
import { renderOutcome } from '../render/render.service.js'
import { availabilities, knownAnswer } from './kept-answers.service.js'
import type { ResolvePreview, ResolveWanted } from './resolve.schema.js'
import { type Looked, type Resolved, type Search, search } from './search.service.js'

export { isNotModified, type Resolved }

/**
 * What a context is routed to. For a caller who is known it never fails: where the registry has nothing, or cannot be asked,
 * it answers the built-in of the category, then the one for everything, then a fixed text. Without a project, which could not
 * be told from memory while the database is away, these are all that there is.
 */
export async function resolvePrompt(deps: Deps, reader: Reader | null, request: ResolveWanted): Promise<Resolved> {
  const { resolved } = await search(deps, reader, request)
  const { counts } = deps.cache
  counts.resolved[resolved.trace.level] += 1
  if (resolved.outcome.staleSeconds !== null) counts.stale += 1
  return resolved
}

/** Whether the same was answered a moment ago, so that it can be answered from memory again. */
export function isAnswerKnown(deps: Deps, reader: Reader | null, request: ResolveWanted): boolean {
  return reader !== null && knownAnswer(deps, reader.held, request) !== null
}

/** The header fields that tell of it. Whatever could not be confirmed is said to be stale. */
export function resolvedHeaders({ outcome, trace }: Resolved): Record<string, string> {
  return { ...outcomeHeaders(outcome), ...(trace.stale ? { 'x-promptsync-source': 'stale' } : {}) }
}

/** The same, rendered, as JSON. Throws 422s that name all that is wrong with the variables. */
export async function renderResolved(
  deps: Deps,
  reader: Reader | null,
  request: ResolveWanted,
  rendering: Pick<RenderRequest, 'variables' | 'strict'>,
): Promise<{ text: string; headers: Record<string, string> }> {
  const resolved = await resolvePrompt(deps, reader, request)
  const rendered = renderOutcome(deps, resolved.outcome, rendering)
  return { text: `${rendered.slice(0, -1)},${JSON.stringify(resolved.trace).slice(1)}`, headers: resolvedHeaders(resolved) }
}

/** Why a context gets what it gets, step by step. It counts for nothing. */
export async function previewResolution(deps: Deps, reader: Reader, request: ResolveWanted): Promise<ResolvePreview> {
  const { resolved, seen } = await search(deps, reader, request)
  const { name } = JSON.parse(resolved.outcome.finished.json.toString('utf8')) as FetchedPrompt
  const availabilityOf = availabilities(seen.states, deps.now().getTime())
  const { level, origin } = resolved.trace
  return {
    ...{ ref: request.ref ?? reader.held.pointers.project.settings.defaultAlias, release: seen.table?.release.ref ?? null },
    ...{ context: request.context, level, prompt: name, version: resolved.outcome.version },
    sources: (seen.table?.sources ?? []).map((source) => ({
      ...{ name: source.name, freshness: availabilityOf(source) },
      ...{ hasPathFile: source.pathFile !== null, files: source.files.size },
    })),
    steps: seen.steps.map(toldStep),
    problem: origin ? null : problemOf(seen),
  }
}

function toldStep(step: Looked): ResolvePreview['steps'][number] {
  const { source, route } = step
  switch (step.outcome) {
    case 'skipped':
      return { source, route, outcome: 'skipped', paths: [], why: step.why }
    case 'found':
      return { source, route, outcome: 'chosen', paths: step.paths, why: `All of its files are in source "${step.of.name}".` }
    default:
      return { source, route, outcome: step.outcome, paths: step.paths, why: step.why }
  }
}

function problemOf({ table, steps, failure }: Search): string {
  if (failure instanceof AppError) return failure.message
  if (failure !== null) return 'It could not be resolved for a reason of ours, which is in the log.'
  if (!table?.sources.some(({ pathFile }) => pathFile)) return `No source of release ${table?.release.ref} has a PATH file.`
  if (steps.length === 0) return 'No source with a PATH file can be used: they were removed, or are out of reach for too long.'
  const refused = steps.some(({ outcome }) => outcome === 'refused')
  return refused ? 'No route leads to a prompt that can be answered.' : 'No route leads to files that are there.'
}
