import type { Deps } from '../../deps.js'
import { AppError, type ErrorCode } from '../../errors.js'
import type { Builtin } from '../../lib/builtins.js'
import { type Finished, type Plan, type Side, toFinished } from '../../lib/plan.js'
import { assemblePlan, finishPlanned, type ToldTarget } from '../../lib/plan-answer.js'
import type { PlanProblem } from '../../lib/prompt-plan.js'
import type { Reader } from '../../lib/read-cache.js'
import type { VersionRecord } from '../../lib/version-record.js'
import { cacheControl, fetchCaching, isNotModified, registryOrBuiltin } from '../fetch/fetch.service.js'
import { keepSize, planFor, recordFor } from '../reads/plans.service.js'
import { builtinRecord, findVariables } from '../reads/records.service.js'

export { isNotModified }

/** A plan as bytes that depend on the ref alone, and what of the moment stands beside it. */
export type PlanOutcome = {
  finished: Finished
  source: 'registry' | 'default'
  /** What `Cache-Control` says. */
  caching: string
  /** For how many seconds it could not be confirmed; null where it was, and for built-ins. */
  staleSeconds: number | null
}

export type Wanted = { name: string; ref: string }

/**
 * All that a client needs to decide by itself what a fetch would answer its subjects. Throws what a fetch does: a target that has
 * nothing to answer is told in the plan, unless it is the only one or the other has nothing either.
 */
export async function planPrompt(deps: Deps, { held, staleSeconds }: Reader, wanted: Wanted): Promise<PlanOutcome> {
  return registryOrBuiltin<PlanOutcome>(deps, wanted, {
    async ofRegistry() {
      const plan = await planFor(deps, held, wanted.name, wanted.ref)
      const finished = await plannedFor(deps, plan)
      if (staleSeconds !== null) deps.cache.counts.stale += 1
      return { finished, source: 'registry', caching: fetchCaching(plan.by), staleSeconds }
    },
    ofBuiltin: (builtin) => planBuiltin(deps, wanted, builtin),
  })
}

/** The bytes of a plan, finished if they were not yet. */
export async function plannedFor(deps: Deps, plan: Plan): Promise<Finished> {
  if (plan.planned) return plan.planned
  const stable = await tell(deps, plan, plan.stable)
  const target = plan.canary && (await tell(deps, plan, plan.canary.side))
  if (stable.refusal && !target?.record) throw stable.refusal
  // Others may have finished it meanwhile.
  if (plan.planned) return plan.planned
  const { name, ref, by, canary } = plan
  const json = assemblePlan({
    ...{ name, ref, by, source: 'registry', stable },
    canary: canary && target && { salt: canary.salt, basisPoints: canary.basisPoints, target },
  })
  const finished = finishPlanned(plan, json)
  keepSize(deps, plan)
  return finished
}

/** What a subject that gets a side is refused for good. */
const refusals: readonly ErrorCode[] = ['prompt.not_in_release', 'version.purged']

async function tell(deps: Deps, plan: Plan, side: Side): Promise<ToldTarget & { refusal: AppError | null }> {
  const { release, version } = side
  const target = { release: release?.ref ?? null, version }
  try {
    const record = await recordFor(deps, plan, side)
    await findAllVariables(deps, record)
    return { ...target, record, problem: null, refusal: null }
  } catch (error) {
    if (!(error instanceof AppError) || !refusals.includes(error.code)) throw error
    return { ...target, record: null, problem: problemOf(error), refusal: error }
  }
}

export function problemOf({ status, code, title, message }: AppError): PlanProblem {
  return { status, code, title, detail: message }
}

/** A version may have many variants that include much. */
async function findAllVariables(deps: Deps, record: VersionRecord): Promise<void> {
  for (const body of record.contents.keys()) {
    if (record.variables[body] !== null) continue
    findVariables(deps, record, body)
    await deps.pause()
  }
}

export function planBuiltin(deps: Deps, { name, ref }: Wanted, builtin: Builtin): PlanOutcome {
  const record = builtinRecord(builtin)
  findVariables(deps, record, 0)
  const stable = { release: null, version: record.version, record, problem: null }
  const by = ref === 'latest' ? 'latest' : 'builtin'
  const json = assemblePlan({ name, ref, by, source: 'default', stable, canary: null })
  return { finished: toFinished(json), source: 'default', caching: cacheControl.movable, staleSeconds: null }
}
