import type { PromptPlan } from '../lib/prompt-plan.js'
import type { Backoff } from './backoff.js'
import type { Connection } from './http.js'
import type { Settings } from './options.js'
import type { Entry } from './plan-cache.js'
import { askInParts, type ManyAnswer, maxNamesOfCall } from './plan-source.js'
import type { PlanStore } from './plan-store.js'
import type { Clock } from './platform.js'

/** What all that asks the service works with. */
export type Parts = { settings: Settings; connection: Connection; clock: Clock; store: PlanStore; backoff: Backoff }

/** An answer about many names of one ref, and the turn in which it was asked for. */
export type Together = { at: number; names: readonly string[]; answer: ManyAnswer; etags: ReadonlyMap<string, string> }

/** An alias that moves each time that it is asked for is followed no longer. */
const maxTries = 6
/** So many calls at once for one ref. */
const concurrentCalls = 4

/**
 * Asks for plans of a ref, together with all that is held of it and would be left behind: what comes may be of another release than
 * what is held, and answers may overtake each other. So all that is held goes over from one moment to a later one at once.
 * `etags` are those of earlier answers, by the names they are about. Throws `PromptsyncError`.
 */
export async function askTogether(
  parts: Parts,
  ref: string,
  wanted: readonly string[],
  known: ReadonlyMap<string, string> = new Map(),
): Promise<Together> {
  const { store } = parts
  let [names, etagsKnown] = [[...wanted].sort(), known]
  for (let tries = 1; ; tries += 1) {
    const at = store.nextTurn()
    const chunks = Array.from({ length: Math.ceil(names.length / maxNamesOfCall) }, (_, index) =>
      names.slice(index * maxNamesOfCall, (index + 1) * maxNamesOfCall),
    )
    const answers = await askChunks(parts, ref, chunks, etagsKnown)
    const plans = plansOf(store, ref, chunks, answers)
    const behind = behindOf(store, ref, plans)
    const missing = behind.filter(({ name }) => !names.includes(name))
    const unchanged = chunks.flatMap((chunk, index) => (answers[index]?.plans === null ? chunk : []))
    const isOvertaken = [...behind, ...unchanged.flatMap((name) => store.cache.get(name, ref) ?? [])].some(
      ({ changedAt }) => changedAt > at,
    )
    const isSettled = missing.length === 0 && !isOvertaken && areAligned(plans)
    if (isSettled || tries >= maxTries) return { at, names, answer: merged(answers, plans), etags: etagsOf(chunks, answers) }
    if (missing.length > 0) names = [...names, ...missing.map(({ name }) => name)].sort()
    if (isOvertaken) etagsKnown = new Map()
  }
}

/** Some at a time: thousands of names take tens of calls. */
async function askChunks(
  { connection, clock }: Parts,
  ref: string,
  chunks: readonly string[][],
  etags: ReadonlyMap<string, string>,
): Promise<ManyAnswer[]> {
  const answers: ManyAnswer[] = []
  for (let first = 0; first < chunks.length; first += concurrentCalls) {
    const calls = chunks.slice(first, first + concurrentCalls).map((names) => {
      return askInParts(connection, clock.monotonic, { names, ref, etag: etags.get(names.join(' ')) ?? null })
    })
    answers.push(...(await Promise.all(calls)))
  }
  return answers
}

/** What is held of a ref and cannot be of the same moment as these plans of it. */
export function behindOf(store: PlanStore, ref: string, plans: readonly PromptPlan[]): Entry[] {
  const witness = plans.find(({ by }) => by === 'alias')
  if (!witness) return []
  return store.cache.ofRef(ref).filter(({ decisions }) => !isAligned(witness, decisions.plan))
}

/** The plans that were answered; where the answer is that nothing has changed, those that are held. */
function plansOf(store: PlanStore, ref: string, chunks: readonly string[][], answers: readonly ManyAnswer[]): PromptPlan[] {
  return chunks.flatMap((chunk, index) => {
    const answered = answers[index]?.plans
    if (answered) return [...answered.values()]
    return chunk.flatMap((name) => store.cache.get(name, ref)?.decisions.plan ?? [])
  })
}

function merged(answers: readonly ManyAnswer[], plans: readonly PromptPlan[]): ManyAnswer {
  const isUnchanged = answers.every((answer) => answer.plans === null)
  return {
    plans: isUnchanged ? null : new Map(plans.map((plan) => [plan.name, plan])),
    problems: new Map(answers.flatMap(({ problems }) => [...problems])),
    etag: null,
    confirmedAtMs: Math.min(...answers.map(({ confirmedAtMs }) => confirmedAtMs)),
    isUnconfirmed: answers.some(({ isUnconfirmed }) => isUnconfirmed),
  }
}

/** What has problems is dropped, so that its names are not asked for again. */
function etagsOf(chunks: readonly string[][], answers: readonly ManyAnswer[]): Map<string, string> {
  const etags = new Map<string, string>()
  for (const [index, { etag, problems }] of answers.entries()) {
    if (etag !== null && problems.size === 0) etags.set(chunks[index]?.join(' ') ?? '', etag)
  }
  return etags
}

/** Whether two plans of one ref can be of one moment. A pin goes its own way. */
export function isAligned(one: PromptPlan, other: PromptPlan): boolean {
  if (one.by !== 'alias' || other.by !== 'alias') return true
  const { canary } = one
  return (
    one.stable.release === other.stable.release &&
    canary?.salt === other.canary?.salt &&
    canary?.basisPoints === other.canary?.basisPoints &&
    canary?.target.release === other.canary?.target.release
  )
}

export function areAligned(plans: readonly PromptPlan[]): boolean {
  const byAlias = plans.filter(({ by }) => by === 'alias')
  const [first] = byAlias
  return first === undefined || byAlias.every((plan) => isAligned(first, plan))
}
