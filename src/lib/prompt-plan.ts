import { bucketCount, canaryBucket, isInCanary } from './canary.js'
import type { PromptMessage } from './content-hash.js'
import { chooseVariant, type Tags } from './variants.js'

type Variable = { name: string; required: boolean; paths?: string[] }

/** A content of a version: its own, or that of a variant. */
export type PlannedBody = { content: string | null; messages: PromptMessage[] | null; variables: Variable[] }

/** A version with all that can be chosen of it. */
export type PlannedVersion = PlannedBody & {
  version: string
  /** What an answer names as its release: the one that the ref names, else the one that first held the version. */
  release: string | null
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  config: Record<string, unknown>
  inputs: Record<string, unknown> | null
  includes: Record<string, unknown>
  variants: (PlannedBody & { tags: Tags })[]
  contentHash: string
  git: { repo: string | null; commit: string; path: string | null } | null
  /** ISO 8601; null for a built-in. */
  createdAt: string | null
}

/** What a fetch answers those who get a target that has nothing to answer. */
export type PlanProblem = { status: number; code: string; title: string; detail: string }

/** One target of a ref. Exactly one of `prompt` and `problem` is null. */
export type PlanTarget = {
  /** The release that is the target; null for a pin, a version or `latest`. */
  release: string | null
  /** Null where the release does not hold the prompt. */
  version: string | null
  prompt: PlannedVersion | null
  problem: PlanProblem | null
}

/** All that is needed to decide what a subject gets for a name and a ref, as the server would. */
export type PromptPlan = {
  name: string
  ref: string
  /** How the ref was resolved: versions and releases never change, the others may. */
  by: 'version' | 'pin' | 'alias' | 'release' | 'commit' | 'latest' | 'builtin'
  source: 'registry' | 'default'
  stable: PlanTarget
  canary: { salt: string; basisPoints: number; target: PlanTarget } | null
}

/** Who asks: `random` gives 0 ≤ x < 1 for those without a key. */
export type Subject = { tags?: Tags; key?: string | undefined; canary?: 'on' | 'off'; random?: () => number }

/** What a fetch would answer, in the order of its keys. */
export type Decided = {
  name: string
  version: string
  ref: string
  release: string | null
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  content: string | null
  messages: PromptMessage[] | null
  config: Record<string, unknown>
  inputs: Record<string, unknown> | null
  variables: Variable[]
  includes: Record<string, unknown>
  tags: Tags
  contentHash: string
  source: 'registry' | 'default'
  canary: { release: string | null; version: string | null; percentage: number; selected: boolean } | null
  git: PlannedVersion['git']
  createdAt: string | null
}

/** Which target a subject gets, and its bucket (0–9999), which only a key has. */
export function chooseTarget(
  { stable, canary }: PromptPlan,
  { key, canary: wanted = 'on', random = Math.random }: Subject,
): { target: PlanTarget; bucket: number | null; selected: boolean } {
  if (!canary || wanted === 'off') return { target: stable, bucket: null, selected: false }
  const bucket = key === undefined ? null : canaryBucket(canary.salt, key)
  const selected = isInCanary(bucket ?? Math.floor(random() * bucketCount), canary.basisPoints)
  return { target: selected ? canary.target : stable, bucket, selected }
}

/**
 * What a fetch of the plan's name and ref answers a subject: the answer, or the problem of the target that was drawn.
 * Pure but for `random`.
 */
export function decide(
  plan: PromptPlan,
  subject: Subject,
): { answer: Decided; problem: null; bucket: number | null } | { answer: null; problem: PlanProblem; bucket: number | null } {
  const { target, bucket, selected } = chooseTarget(plan, subject)
  const { prompt, problem } = target
  if (!prompt) return { answer: null, problem: problem ?? unplanned(plan), bucket }
  const variant = chooseVariant(prompt.variants, subject.tags ?? {})
  const { content, messages, variables } = variant ?? prompt
  const { name, ref, source } = plan
  // One literal: an object that is spread out of others takes several times as long to make.
  const answer: Decided = {
    name,
    version: prompt.version,
    ref,
    release: prompt.release,
    type: prompt.type,
    template: prompt.template,
    content,
    messages,
    config: prompt.config,
    inputs: prompt.inputs,
    variables,
    includes: prompt.includes,
    tags: variant?.tags ?? {},
    contentHash: prompt.contentHash,
    source,
    canary: subject.canary === 'off' ? null : toldCanary(plan, selected),
    git: prompt.git,
    createdAt: prompt.createdAt,
  }
  return { answer, problem: null, bucket }
}

function toldCanary({ canary }: PromptPlan, selected: boolean): Decided['canary'] {
  if (!canary) return null
  const { release, version } = canary.target
  return { release, version, percentage: canary.basisPoints / 100, selected }
}

function unplanned({ name, ref }: PromptPlan): PlanProblem {
  return {
    status: 500,
    code: 'internal',
    title: 'A plan without a prompt',
    detail: `The plan of "${name}" at "${ref}" holds nothing.`,
  }
}
