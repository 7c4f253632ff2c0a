import type { PlanProblem, PromptPlan } from '../lib/prompt-plan.js'
import { type Answer, type Call, type Connection, callApi } from './http.js'
import type { Confirmed } from './plan-cache.js'
import { isPlan } from './plan-shape.js'
import { PromptsyncError } from './problem.js'

/** The most names that one call may have. */
export const maxNamesOfCall = 200

/** What the service answered: the plan, or that it is the one that was named. */
export type OneAnswer = Confirmed | (Omit<Confirmed, 'plan'> & { plan: null })

export type ManyAnswer = {
  /** Null where nothing has changed; else the plans that there are. */
  plans: Map<string, PromptPlan> | null
  problems: Map<string, PromptsyncError>
  /** Of all of them together. */
  etag: string | null
  confirmedAtMs: number
  isUnconfirmed: boolean
}

/** Asks for the plan of a name and a ref. Throws `PromptsyncError`. */
export async function askOne(
  connection: Connection,
  monotonic: () => number,
  { name, ref, etag }: { name: string; ref: string; etag: string | null },
): Promise<OneAnswer> {
  const path = `/prompts/${encodeURIComponent(name)}/${encodeURIComponent(ref)}/plan`
  const { answer, ...confirmed } = await ask(connection, monotonic, { path, headers: { 'if-none-match': etag } })
  if (answer.status === 304) return { ...confirmed, plan: null, etag }
  const plan: unknown = answer.body
  if (!isPlan(plan, name, ref)) throw noPlan(connection)
  return { ...confirmed, plan }
}

/** Asks for the plans of at most 200 names, all as of one moment. Throws `PromptsyncError`. */
export async function askMany(
  connection: Connection,
  monotonic: () => number,
  { names, ref, etag }: { names: readonly string[]; ref: string; etag: string | null },
): Promise<ManyAnswer> {
  const call: Call = { path: '/prompts/fetch', body: { names, ref, as: 'plans' }, headers: { 'if-none-match': etag } }
  const { answer, ...confirmed } = await ask(connection, monotonic, call)
  if (answer.status === 304) return { ...confirmed, plans: null, problems: new Map(), etag }
  const { items, problems } = (answer.body ?? {}) as { items?: unknown; problems?: unknown }
  if (!Array.isArray(items) || !Array.isArray(problems)) throw noPlan(connection)
  return { ...confirmed, plans: readPlans(connection, items, ref), problems: readProblems(connection, problems) }
}

/** The same, in as many calls as it takes where the answer is too large for one. Throws `PromptsyncError`. */
export async function askInParts(
  connection: Connection,
  monotonic: () => number,
  asked: { names: readonly string[]; ref: string; etag: string | null },
): Promise<ManyAnswer> {
  const { names, ref } = asked
  try {
    return await askMany(connection, monotonic, asked)
  } catch (error) {
    const isTooLarge = error instanceof PromptsyncError && error.code === 'answer.too_large'
    if (!isTooLarge || names.length < 2) throw error
    const middle = Math.ceil(names.length / 2)
    const first = await askInParts(connection, monotonic, { names: names.slice(0, middle), ref, etag: null })
    const second = await askInParts(connection, monotonic, { names: names.slice(middle), ref, etag: null })
    return {
      plans: new Map([...(first.plans ?? []), ...(second.plans ?? [])]),
      problems: new Map([...first.problems, ...second.problems]),
      etag: null,
      confirmedAtMs: Math.min(first.confirmedAtMs, second.confirmedAtMs),
      isUnconfirmed: first.isUnconfirmed || second.isUnconfirmed,
    }
  }
}

type Asked = { answer: Answer<unknown>; etag: string | null; confirmedAtMs: number; isUnconfirmed: boolean }

/** How long it took is the plan's age: it may have been replaced as soon as it was read. */
async function ask(connection: Connection, monotonic: () => number, call: Call): Promise<Asked> {
  const startedAtMs = monotonic()
  const answer = await callApi<unknown>(connection, call)
  const isUnconfirmed = answer.headers.get('x-promptsync-source') === 'stale'
  const ageSeconds = isUnconfirmed ? Number(answer.headers.get('age') ?? 0) : 0
  const confirmedAtMs = startedAtMs - (ageSeconds > 0 ? ageSeconds * 1_000 : 0)
  return { answer, etag: answer.headers.get('etag'), confirmedAtMs, isUnconfirmed }
}

function readPlans(connection: Connection, items: unknown[], ref: string): Map<string, PromptPlan> {
  const plans = new Map<string, PromptPlan>()
  for (const item of items) {
    const name = (item as { name?: unknown } | null)?.name
    if (typeof name !== 'string' || !isPlan(item, name, ref)) throw noPlan(connection)
    plans.set(name, item)
  }
  return plans
}

function readProblems(connection: Connection, items: unknown[]): Map<string, PromptsyncError> {
  const problems = new Map<string, PromptsyncError>()
  for (const item of items) {
    const { name, code, detail, status } = (item ?? {}) as Partial<PlanProblem & { name: string }>
    if (typeof name !== 'string' || typeof code !== 'string' || typeof status !== 'number') throw noPlan(connection)
    problems.set(name, new PromptsyncError(code, String(detail), { status }))
  }
  return problems
}

function noPlan({ url }: Connection): PromptsyncError {
  const detail = `${url} answered something else than plans of prompts. Check the address, and that the service is of this version.`
  return new PromptsyncError('client.not_promptsync', detail, { status: null })
}

/** Whether the service says for certain that there is nothing, or nothing anymore. A route that it lacks is no such thing. */
export function isGone({ status, code }: PromptsyncError): boolean {
  return (status === 404 || status === 410) && code !== 'route.not_found' && !code.startsWith('client.')
}

/** Whether the service refuses whoever asks. */
export function isRefused({ status, code }: PromptsyncError): boolean {
  return (status === 401 || status === 403) && !code.startsWith('client.')
}
