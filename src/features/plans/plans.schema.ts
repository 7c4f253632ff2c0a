import { z } from 'zod'
import type { PromptPlan as DecidedBy, PlannedVersion as DecidedOf } from '../../lib/prompt-plan.js'
import { PromptName, Ref } from '../../lib/schemas.js'
import { FetchedPrompt } from '../fetch/fetch.schema.js'
import { RenderRequest } from '../render/render.schema.js'

const { content, messages, variables } = FetchedPrompt.shape
const body = { content, messages, variables }

const Refusal = z.object({ status: z.number().int(), code: z.string(), title: z.string(), detail: z.string() })

const PlannedVersion = FetchedPrompt.pick({ version: true, type: true, template: true })
  .extend({
    release: z.string().nullable().meta({ description: 'What an answer names as its release.' }),
    ...body,
    ...FetchedPrompt.pick({ config: true, inputs: true, includes: true }).shape,
    variants: z.array(z.object({ tags: z.record(z.string(), z.string()), ...body })),
    ...FetchedPrompt.pick({ contentHash: true, git: true, createdAt: true }).shape,
  })
  .meta({ id: 'PlannedVersion' }) satisfies z.ZodType<DecidedOf>

const PlanTarget = z
  .object({
    release: z
      .string()
      .nullable()
      .meta({ description: 'The release that is the target; null for a pin, a version or `latest`.' }),
    version: z.string().nullable().meta({ description: 'Null where the release does not hold the prompt.' }),
    prompt: PlannedVersion.nullable(),
    problem: Refusal.nullable().meta({ description: 'What a fetch answers those who get this target, where it has no prompt.' }),
  })
  .meta({ id: 'PlanTarget' })

export const PromptPlan = z
  .object({
    name: z.string(),
    ref: z.string(),
    by: z
      .enum(['version', 'pin', 'alias', 'release', 'commit', 'latest', 'builtin'])
      .meta({ description: 'How the ref was resolved. What is by `version` or `release` never changes.' }),
    source: z.enum(['registry', 'default']),
    stable: PlanTarget,
    canary: z
      .object({
        salt: z.string(),
        basisPoints: z.number().int().meta({ description: 'The share of subjects, 1 to 10,000.' }),
        target: PlanTarget,
      })
      .nullable(),
  })
  .meta({ id: 'PromptPlan' }) satisfies z.ZodType<DecidedBy>

export const maxNames = 200

export const FetchMany = z
  .strictObject({
    names: z.array(PromptName).min(1).max(maxNames).meta({ description: 'Each name once; the answer keeps their order.' }),
    ref: Ref,
    tags: RenderRequest.shape.tags.unwrap().optional(),
    key: RenderRequest.shape.key,
    canary: z.literal('off').optional().meta({ description: '`off` ignores a running canary.' }),
    as: z
      .enum(['prompts', 'plans'])
      .default('prompts')
      .meta({ description: '`prompts` are what fetches answer; `plans` are for clients that decide by themselves.' }),
  })
  .superRefine(({ names, as, ...subject }, issues) => {
    const seen = new Set<string>()
    for (const [index, name] of names.entries()) {
      if (seen.has(name)) issues.addIssue({ code: 'custom', path: ['names', index], message: `names "${name}" twice` })
      seen.add(name)
    }
    for (const field of ['tags', 'key', 'canary'] as const) {
      if (as === 'plans' && subject[field] !== undefined)
        issues.addIssue({ code: 'custom', path: [field], message: 'is of no use to plans, which are the same for everybody' })
    }
  })
  .meta({ id: 'FetchMany' })
export type FetchMany = z.infer<typeof FetchMany>

export const FetchedMany = z
  .object({
    ref: z.string(),
    release: z
      .string()
      .nullable()
      .meta({ description: 'The release that the ref names, where it names one; of a canary that of the side that was drawn.' }),
    items: z
      .array(z.union([FetchedPrompt, PromptPlan]))
      .meta({ description: 'In the order of `names`, without those in `problems`.' }),
    problems: z.array(Refusal.extend({ name: z.string() })).meta({ description: 'What a fetch of the other names answers.' }),
  })
  .meta({ id: 'FetchedMany' })
