import { createHash, randomInt } from 'node:crypto'
import type { Deps } from '../../deps.js'
import { AppError, tryLater } from '../../errors.js'
import type { Builtin } from '../../lib/builtins.js'
import { bucketCount } from '../../lib/canary.js'
import { parseNumber } from '../../lib/names.js'
import { inParallel } from '../../lib/parallel.js'
import { chooseBody, type Finished, type Plan, servedSide } from '../../lib/plan.js'
import type { Pointers } from '../../lib/pointers.js'
import type { PlanProblem } from '../../lib/prompt-plan.js'
import type { HeldProject, Reader } from '../../lib/read-cache.js'
import { answerBuiltin, cacheControl, draw, registryOrBuiltin } from '../fetch/fetch.service.js'
import { finishedFor, planFor } from '../reads/plans.service.js'
import { type Ahead, isCurrent, planAhead } from './ahead.service.js'
import type { FetchMany } from './plans.schema.js'
import { type PlanOutcome, planBuiltin, plannedFor, problemOf, type Wanted } from './plans.service.js'

/** The bytes of all, and what stands beside them. `bucket` is that of the project alias. */
export type ManyOutcome = PlanOutcome & { bucket: number | null }

/** A project that changes while it is read is read again. */
const maxAttempts = 5
/** So many are loaded side by side: other reads want connections as well. */
const loadsAtOnce = 24
const maxAnswerBytes = 64 * 1024 ** 2

/**
 * What fetches of many names answer, in one state of the project and with one draw: all prompts of an alias are of one release.
 * Throws a 422 where the whole is too large, and a 503 where any of them cannot be told. `reserve` is told how large the answer will
 * be before it is put together, and may refuse.
 */
export async function fetchMany(
  deps: Deps,
  reader: Reader,
  request: FetchMany,
  reserve: (bytes: number) => void,
): Promise<ManyOutcome> {
  const { held } = reader
  const isBuiltin = request.ref === 'builtin'
  const staleSeconds = isBuiltin ? null : reader.staleSeconds
  const drawn = randomInt(bucketCount)
  // Plans have both sides; what is told of the whole is of the stable one.
  const subject = { key: request.key, canary: request.as === 'plans' ? 'off' : (request.canary ?? 'on') } as const
  const drawSide: DrawSide = (target) => draw(target, subject, () => drawn)
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const before = held.pointers
    const found = await findAll(deps, held, request)
    const { pointers } = held
    if (!isOneState(found, before, pointers)) continue
    const pointer = pointers.aliases.get(request.ref)
    const { mode, bucket } = drawSide(pointer ?? { canary: null })
    const target = mode === 'canary' && pointer?.canary ? pointer.canary.target : pointer?.target
    const answers = await finishAll(deps, found, request, drawSide)
    const whole = { ref: request.ref, release: target?.ref ?? releaseNamed(request.ref, found) }
    const finished = await assemble(deps, whole, answers, reserve)
    if (staleSeconds !== null) deps.cache.counts.stale += 1
    return { finished, source: isBuiltin ? 'default' : 'registry', caching: cacheControl.movable, staleSeconds, bucket }
  }
  throw tryLater('database.unavailable', 'The project changes faster than it can be read. Try again.', 1)
}

type DrawSide = (target: Parameters<typeof draw>[0]) => ReturnType<typeof draw>

/** What a name and the ref stand for: a plan, the finished answer of a built-in, or nothing. */
type Found = { name: string } & ({ plan: Plan } | { finished: Finished } | { problem: PlanProblem })

/** Whether all that was found holds as of now: that something is not there is only known of the state before. */
function isOneState(found: readonly Found[], before: Pointers, now: Pointers): boolean {
  return before.stamp === now.stamp || found.every((one) => 'finished' in one || ('plan' in one && isCurrent(one.plan, now)))
}

async function findAll(deps: Deps, held: HeldProject, { names, ref, as }: FetchMany): Promise<Found[]> {
  const ahead: Ahead = ref === 'builtin' ? new Map() : await planAhead(deps, held, names, ref)
  const limits = { atOnce: loadsAtOnce, signal: new AbortController().signal }
  return inParallel(names, limits, async (name): Promise<Found> => {
    await deps.pause()
    return orProblem(name, () =>
      registryOrBuiltin<Found>(
        deps,
        { name, ref },
        {
          ofRegistry: async () => ({ name, plan: planned(ahead.get(name)) ?? (await planFor(deps, held, name, ref)) }),
          ofBuiltin: (builtin) => ({ name, finished: finishBuiltin(deps, { name, ref, as }, builtin) }),
        },
      ),
    )
  })
}

function planned(found: Plan | AppError | undefined): Plan | undefined {
  if (found instanceof AppError) throw found
  return found
}

function finishBuiltin(deps: Deps, { as, ...wanted }: Wanted & Pick<FetchMany, 'as'>, builtin: Builtin): Finished {
  if (as === 'plans') return planBuiltin(deps, wanted, builtin).finished
  return answerBuiltin(deps, wanted, builtin, 'default', cacheControl.movable).finished
}

/** What is refused is told beside the others; what cannot be told now fails them all. */
async function orProblem<T>(name: string, work: () => Promise<T>): Promise<T | { name: string; problem: PlanProblem }> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    return { name, problem: problemOf(error) }
  }
}

type Answer = { json: Buffer } | { name: string; problem: PlanProblem }

async function finishAll(deps: Deps, found: Found[], request: FetchMany, drawSide: DrawSide): Promise<Answer[]> {
  let bytes = 0
  const limits = { atOnce: loadsAtOnce, signal: new AbortController().signal }
  return inParallel(found, limits, async (one) => {
    await deps.pause()
    const answer = 'plan' in one ? await orProblem(one.name, () => finishOne(deps, one.plan, request, drawSide)) : toAnswer(one)
    if ('json' in answer) bytes += answer.json.length
    if (bytes > maxAnswerBytes) throw tooLarge(found.length)
    return answer
  })
}

async function finishOne(deps: Deps, plan: Plan, { as, tags }: FetchMany, drawSide: DrawSide): Promise<Answer> {
  if (as === 'plans') return plannedFor(deps, plan)
  const { mode } = drawSide(plan)
  return finishedFor(deps, plan, mode, chooseBody(servedSide(plan, mode), tags ?? {}))
}

function toAnswer(one: Exclude<Found, { plan: Plan }>): Answer {
  return 'finished' in one ? one.finished : one
}

function tooLarge(names: number): AppError {
  const detail = `The prompts of these ${names} names are over ${maxAnswerBytes / 1024 ** 2} MiB together. Ask for fewer names at once.`
  return new AppError('answer.too_large', detail)
}

/** The release that a label, number or commit names, as far as the prompts tell; a version has its label from its release. */
function releaseNamed(ref: string, found: Found[]): string | null {
  for (const one of found) {
    if (!('plan' in one)) continue
    const { by, stable } = one.plan
    if (by === 'release' || by === 'commit') return stable.release?.ref ?? null
    if (by === 'version') return parseNumber('v', ref) === null ? ref : null
  }
  return null
}

/** Put together and hashed piece by piece: all at once would hold the event loop. */
async function assemble(
  deps: Deps,
  head: { ref: string; release: string | null },
  answers: Answer[],
  reserve: (bytes: number) => void,
): Promise<Finished> {
  const items = answers.flatMap((answer) => ('json' in answer ? [answer.json] : []))
  const problems = answers.flatMap((answer) => ('json' in answer ? [] : [{ name: answer.name, ...answer.problem }]))
  const pieces = [
    Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`),
    ...items.flatMap((item, index) => (index === 0 ? [item] : [comma, item])),
    Buffer.from(`],"problems":${JSON.stringify(problems)}}`),
  ]
  const sizeBytes = pieces.reduce((sum, { length }) => sum + length, 0)
  reserve(sizeBytes)
  const json = Buffer.allocUnsafeSlow(sizeBytes)
  const hash = createHash('sha256')
  let at = 0
  for (const piece of pieces) {
    at += piece.copy(json, at)
    hash.update(piece)
    await deps.pause()
  }
  return { json, etag: `"${hash.digest('base64url').slice(0, 27)}"` }
}

const comma = Buffer.from(',')
