import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { toRoutingValue } from '../../lib/path-file/values.js'
import { chooseBody, type Finished, type Mode, pointedAt, servedSide, toFinished } from '../../lib/plan.js'
import type { Pointers } from '../../lib/pointers.js'
import type { HeldProject, Reader } from '../../lib/read-cache.js'
import { followRoutes, type RoutingTable, type SeenPrompt, type Step } from '../../lib/routing-table.js'
import { answerFallback, answerLastResort, cacheControl, draw, type Outcome } from '../fetch/fetch.service.js'
import { isUnavailable } from '../reads/access.service.js'
import { finishedFor, planFor, refuseSide } from '../reads/plans.service.js'
import { routingNamed, routingOf, type SourceStates, sourceStates } from '../reads/routing.service.js'
import { joinOutcomes } from './join.service.js'
import { availabilities, keepResolved } from './kept-answers.service.js'
import type { levels, ResolveWanted } from './resolve.schema.js'

export type Level = (typeof levels)[number]

/** How an answer was found. */
export type Trace = {
  level: Level
  stale: boolean
  route: string | null
  tried: string[]
  origin: { source: string; paths: string[] } | null
}

/** `finished` is that of the outcome with how it was found. */
export type Resolved = { outcome: Outcome; trace: Trace; finished: Finished }

/** A route that was looked at; one that was found may have been refused. */
export type Looked = Step | { source: string; route: string; outcome: 'refused'; paths: string[]; why: string }

/** What was seen on the way to an answer. */
export type Search = {
  table: RoutingTable | null
  states: SourceStates | null
  steps: Looked[]
  /** Why there was nothing to look at. */
  failure: unknown
}

/** An alias may move while it is followed: then it is followed anew. */
const maxAttempts = 3
/** So many routes that lead to a prompt that cannot be answered are passed by. */
const maxRefused = 20
const maxTried = 100
const maxTriedLength = 500
const lastResort = 'default'

/**
 * The answer to a context, and how it was looked for: of the registry, or where that has none, of the built-ins. Never rejects.
 */
export async function search(
  deps: Deps,
  reader: Reader | null,
  request: ResolveWanted,
): Promise<{ resolved: Resolved; seen: Search }> {
  const seen: Search = { table: null, states: null, steps: [], failure: null }
  try {
    const found = reader && (await searchRegistry(deps, reader, request, seen))
    if (found) return { resolved: found, seen }
  } catch (err) {
    seen.failure = err
    logRefusal(deps, err)
  }
  return { resolved: fromBuiltins(deps, reader, request, triedIn(seen.steps)), seen }
}

function logRefusal({ log }: Deps, err: unknown): void {
  if (err instanceof AppError) log.debug({ err }, 'The registry has no answer to a context.')
  else log.error({ err }, 'A context could not be resolved for a reason of ours.')
}

/** The release that a ref means for this subject, and how it is routed. `mode` is null where no alias decided. */
type Chosen = { table: RoutingTable; mode: Mode | null; bucket: number | null; ref: string }

async function chooseRelease(
  deps: Deps,
  held: HeldProject,
  pointers: Pointers,
  { ref: asked, ...subject }: ResolveWanted,
): Promise<Chosen> {
  const ref = asked ?? pointers.project.settings.defaultAlias
  const pointer = pointers.aliases.get(ref)
  if (!pointer) {
    const table = await routingNamed(deps, held, ref)
    // Of a prompt `latest` is its highest version, which need not be the one of the newest release.
    return { table, mode: null, bucket: null, ref: ref === 'latest' ? table.release.ref : ref }
  }
  const { mode, bucket } = draw(pointer, subject)
  const release = mode === 'canary' && pointer.canary ? pointer.canary.target : pointer.target
  return { table: await routingOf(deps, pointers, release), mode, bucket, ref }
}

async function searchRegistry(deps: Deps, reader: Reader, request: ResolveWanted, seen: Search): Promise<Resolved | null> {
  const { held } = reader
  const states = await sourceStates(deps, held)
  seen.states = states
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const { pointers } = held
    const chosen = await chooseRelease(deps, held, pointers, request)
    seen.table = chosen.table
    seen.steps = []
    const found = await followTo(deps, reader, request, {
      ...{ pointers, chosen, states, steps: seen.steps, at: deps.now() },
      isDrawnApart: false,
    })
    if (found !== 'moved') return found
  }
  return null
}

type Attempt = {
  pointers: Pointers
  chosen: Chosen
  states: SourceStates | null
  steps: Looked[]
  at: Date
  /** Whether a pin with a canary of its own was drawn on the way, so that the side of the alias does not tell the answer. */
  isDrawnApart: boolean
}

/** The answer of the first route that has one. A route whose prompt cannot be answered is passed by like a missing file. */
async function followTo(
  deps: Deps,
  reader: Reader,
  request: ResolveWanted,
  attempt: Attempt,
): Promise<Resolved | 'moved' | null> {
  const { pointers, chosen, states, steps, at } = attempt
  const availabilityOf = availabilities(states, at.getTime())
  const looked: SeenPrompt[] = []
  // Of what could not be asked nobody knows whether it would have been the answer.
  let refused = { count: 0, isForNow: false }
  for (const step of followRoutes(chosen.table, request.context, at, availabilityOf)) {
    steps.push(step)
    if (step.outcome !== 'found') continue
    looked.push(...step.files.map(({ name }) => ({ name, pointer: pointedAt(pointers, name, chosen.ref)?.pointer })))
    try {
      const outcome = await answerFiles(deps, reader, request, attempt, step)
      if (!outcome) return 'moved'
      const isStale = reader.staleSeconds !== null || refused.isForNow || availabilityOf(step.of) === 'stale'
      const resolved = toResolved(outcome, step, isStale ? 'stale' : 'registry', triedIn(steps))
      if (!refused.isForNow && !attempt.isDrawnApart) keep(deps, reader, request, attempt, resolved, looked)
      return resolved
    } catch (err) {
      if (reader.held.pointers !== pointers) return 'moved'
      refused = { count: refused.count + 1, isForNow: refused.isForNow || !isFinal(err) }
      steps[steps.length - 1] = toRefused(deps, step, err)
      // A database that is there, but too busy, is not asked for more.
      if (refused.count >= maxRefused || (isUnavailable(err) && !deps.database.isAway())) return null
    }
  }
  return null
}

function keep(
  deps: Deps,
  reader: Reader,
  { context, tags }: ResolveWanted,
  { pointers, chosen: { table, mode, ref }, states, at }: Attempt,
  { finished, outcome, trace }: Resolved,
  seen: readonly SeenPrompt[],
): void {
  // Only what an alias leads to is answered at a look.
  if (mode === null) return
  const level = trace.stale ? 'stale' : 'registry'
  const asked = { ref, mode, tags, context, atMs: at.getTime() }
  keepResolved(deps, reader, { pointers, table, states }, asked, { seen, finished, version: outcome.version, level })
}

function isFinal(err: unknown): boolean {
  return err instanceof AppError && !isUnavailable(err)
}

function toRefused(deps: Deps, { source, route, paths }: Step & { outcome: 'found' }, err: unknown): Looked {
  logRefusal(deps, err)
  const why = err instanceof AppError ? err.message : 'It could not be answered for a reason of ours, which is in the log.'
  return { source, route, outcome: 'refused', paths, why }
}

function toResolved(outcome: Outcome, step: Step & { outcome: 'found' }, level: 'registry' | 'stale', tried: string[]): Resolved {
  const origin = { source: step.of.name, paths: step.files.map(({ path }) => path) }
  return withTrace(outcome, { level, stale: level === 'stale', route: step.route, tried, origin })
}

/** The answer of a fetch with how it was found. */
function withTrace(outcome: Outcome, trace: Trace): Resolved {
  const { json } = outcome.finished
  const told = JSON.stringify(trace).slice(1)
  return { outcome, trace, finished: toFinished(Buffer.concat([json.subarray(0, json.length - 1), Buffer.from(`,${told}`)])) }
}

function triedIn(steps: readonly Looked[]): string[] {
  const paths = steps.flatMap((step) => {
    if (step.outcome === 'skipped') return []
    return step.outcome === 'missing' ? [step.missing] : step.paths
  })
  return paths.slice(-maxTried).map((path) => path.slice(0, maxTriedLength))
}

/** The answer of the files of a route; null where the alias has moved on meanwhile. */
async function answerFiles(
  deps: Deps,
  { held, staleSeconds }: Reader,
  request: ResolveWanted,
  attempt: Attempt,
  { files }: Step & { outcome: 'found' },
): Promise<Outcome | null> {
  const { chosen } = attempt
  const parts: Outcome[] = []
  for (const { name } of files) {
    const plan = await planFor(deps, held, name, chosen.ref)
    const isOfAlias = plan.by === 'alias' && chosen.mode !== null
    const { mode, bucket } = isOfAlias && chosen.mode ? { mode: chosen.mode, bucket: chosen.bucket } : draw(plan, request)
    // Set before the side that was drawn may be refused: what answers instead is of this draw, too.
    if (!isOfAlias && plan.canary) attempt.isDrawnApart = true
    const side = servedSide(plan, mode)
    if (plan.by === 'alias' && side.release?.uid !== chosen.table.release.uid) return null
    refuseSide(held.pointers.project, plan, side)
    const finished = await finishedFor(deps, plan, mode, chooseBody(side, request.tags))
    parts.push({
      ...{ finished, version: side.version ?? '', source: 'registry', bucket: chosen.bucket ?? bucket, staleSeconds },
      // Routes depend on what becomes of the source, and perhaps on the time.
      caching: cacheControl.movable,
    })
  }
  return joinOutcomes(parts)
}

/** What the built-ins have for a category; the one for everything is the last resort, whichever way it is found. */
function fromBuiltins(deps: Deps, reader: Reader | null, request: ResolveWanted, tried: string[]): Resolved {
  const category = toRoutingValue(request.context.category ?? '')
  const ref = request.ref ?? reader?.held.pointers.project.settings.defaultAlias ?? 'production'
  const level = category !== null && category !== lastResort && deps.builtins.has(category) ? 'default' : 'fallback'
  const outcome =
    level === 'default' && category
      ? answerFallback(deps, { name: category, ref })
      : answerLastResort(deps, { name: lastResort, ref })
  return withTrace(outcome, { level, stale: false, route: null, tried, origin: null })
}
