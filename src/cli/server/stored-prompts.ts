import { PromptsyncError } from '../../client/problem.js'
import type { VersionContent } from '../../lib/content-hash.js'
import { aliasPattern, commitPattern } from '../../lib/names.js'
import { inParallel } from '../../lib/parallel.js'
import type { PlannedVersion, PlanProblem, PromptPlan } from '../../lib/prompt-plan.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import type { AnswerOf } from './api.js'
import { pathSegment } from './path-segment.js'
import { whileBusy } from './repeat.js'

/**
 * A release and the names of what it holds. `id` is its number form, which means it for ever and nothing else. `servedBy` is what
 * its prompts are asked for by: the alias, where it was named by one, since pins win over it.
 */
export type StoredRelease = { ref: string; id: string; servedBy: string; names: string[] }

/** Prompts as they are stored in one release, by name, and why others cannot be had. */
export type StoredPrompts = { prompts: Map<string, PlannedVersion>; problems: Map<string, PlanProblem> }

/** The most that the server answers at once. */
const pageSize = 200
const fetchesAtOnce = 2
const maxPrompts = 20_000

type Snapshot = AnswerOf<'getRelease'>

/** The release that a ref names, with the names of all its prompts. Throws `PromptsyncError`, with the nearest ref. */
export async function readRelease(context: Context, ref: string): Promise<StoredRelease> {
  const read = async (release: string, cursor: string | null) => {
    const path = `/releases/${pathSegment('a release', release)}`
    return (await context.api<Snapshot>({ path, query: { limit: pageSize, cursor } })).body
  }
  const first = await read(ref, null)
  const names = first.items.map(({ name }) => name)
  const id = `r${first.number}`
  // Not by the ref: it may be moved meanwhile.
  for (let cursor = first.nextCursor; cursor !== null && names.length < maxPrompts; ) {
    const next = await read(id, cursor)
    names.push(...next.items.map(({ name }) => name))
    cursor = next.nextCursor
  }
  return { ref: first.ref, id, servedBy: isAlias(ref, first) ? ref : id, names }
}

/** Whatever else names a release can be told from its looks. */
function isAlias(ref: string, { ref: named, number }: Pick<Snapshot, 'ref' | 'number'>): boolean {
  return aliasPattern.test(ref) && ![named, `r${number}`, 'latest'].includes(ref) && !commitPattern.test(ref)
}

/** The newest release; null where there is none yet. */
export async function newestRelease(context: Context): Promise<string | null> {
  const { body } = await context.api<AnswerOf<'listReleases'>>({ path: '/releases', query: { limit: 1 } })
  return body.items[0]?.ref ?? null
}

/** Reads prompts of a release, by its id, all that are named. Those that it does not hold are in neither list. */
export function readStored(context: Context, id: string, names: readonly string[]): Promise<StoredPrompts> {
  return readBatches(context, names, (batch) => fetchBatch(context, id, batch))
}

/**
 * Reads all prompts of a release as applications get them: by its alias, where one was named, pins included. Throws a `CliError`
 * where the alias is moved meanwhile.
 */
export function readServed(context: Context, { servedBy, id, ref, names }: StoredRelease): Promise<StoredPrompts> {
  return readBatches(context, names, async (batch) => {
    const many = await fetchBatch(context, servedBy, batch)
    if (servedBy === id || many.release === ref) return many
    throw new CliError(`The alias "${servedBy}" was moved from ${ref} to ${many.release} meanwhile.`, {
      remedy: 'Repeat the command.',
    })
  })
}

type Fetch = (batch: readonly string[]) => Promise<FetchedPlans>

async function readBatches(context: Context, names: readonly string[], fetch: Fetch): Promise<StoredPrompts> {
  const stored: StoredPrompts = { prompts: new Map(), problems: new Map() }
  let count = 0
  await inParallel(chunksOf(names, pageSize), { atOnce: fetchesAtOnce, signal: context.signal }, async (batch) => {
    const { items, problems } = await fetchWhole(batch, fetch)
    for (const { name, stable } of items) if (stable.prompt) stored.prompts.set(name, stable.prompt)
    for (const { name, ...problem } of problems) if (problem.status !== 404) stored.problems.set(name, problem)
    count += batch.length
    context.output.progress(`Fetched ${count} of ${names.length} prompts …`)
  })
  context.output.progress(null)
  return stored
}

function chunksOf(names: readonly string[], size: number): string[][] {
  return Array.from({ length: Math.ceil(names.length / size) }, (_, index) => names.slice(index * size, (index + 1) * size))
}

/** Prompts that are too large together are asked for in halves. */
async function fetchWhole(batch: readonly string[], fetch: Fetch): Promise<Pick<FetchedPlans, 'items' | 'problems'>> {
  try {
    return await fetch(batch)
  } catch (error) {
    if (!(error instanceof PromptsyncError) || error.code !== 'answer.too_large' || batch.length === 1) throw error
    const halves = []
    for (const half of chunksOf(batch, Math.ceil(batch.length / 2))) halves.push(await fetchWhole(half, fetch))
    return { items: halves.flatMap(({ items }) => items), problems: halves.flatMap(({ problems }) => problems) }
  }
}

function fetchBatch(context: Context, ref: string, names: readonly string[]): Promise<FetchedPlans> {
  const call = () => context.api<FetchedPlans>({ path: '/prompts/fetch', body: { names, ref, as: 'plans' } })
  return whileBusy(context, call).then(({ body }) => body)
}

const notThere = new Set(['prompt.not_found', 'prompt.not_in_release'])

type FetchedPlans = { release: string | null; items: PromptPlan[]; problems: (PlanProblem & { name: string })[] }

/** One prompt at any ref: a version of its own as well. Null where there is none. Throws `PromptsyncError` for any other reason. */
export async function readStoredPrompt(context: Context, name: string, ref: string): Promise<PlannedVersion | null> {
  try {
    const path = `/prompts/${pathSegment('a prompt', name)}/${pathSegment('a ref', ref)}/plan`
    const { body } = await context.api<PromptPlan>({ path })
    return body.stable.prompt
  } catch (error) {
    if (error instanceof PromptsyncError && notThere.has(error.code)) return null
    throw error
  }
}

/** Reads what local prompts include and nobody knows yet: by name as `ref` has it, `name@v2` as it says. What is not there is left out. */
export async function readIncluded(
  context: Context,
  ref: string,
  references: readonly string[],
): Promise<Map<string, PlannedVersion>> {
  const found = await inParallel(references, { atOnce: fetchesAtOnce, signal: context.signal }, async (reference) => {
    const [name = '', own = ref] = reference.split('@')
    return [reference, await readStoredPrompt(context, name, own)] as const
  })
  return new Map(found.flatMap(([reference, stored]) => (stored ? [[reference, stored] as const] : [])))
}

/** What makes the version what it is. Pure. */
export function contentOf({ type, template, content, messages, config, inputs, variants }: PlannedVersion): VersionContent {
  const bodies = variants.map(({ tags, content: text, messages: list }) => ({ tags, content: text, messages: list }))
  return { type, template, content, messages, config, inputs, variants: bodies }
}
