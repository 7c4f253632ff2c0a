import { z } from 'zod'
import { isPercentage } from '../../lib/canary.js'
import { AliasRef, PageQuery, PromptName, page, Ref, Timestamp, text } from '../../lib/schemas.js'

export const SetCanary = z.strictObject({
  alias: AliasRef,
  version: Ref.meta({ description: 'The release (or, with `prompt`, the version) that a share of subjects gets.' }),
  percentage: z
    .number()
    .refine(isPercentage, 'must be from 0.01 to 100 with at most two decimals')
    .meta({ minimum: 0.01, maximum: 100 }),
  prompt: PromptName.optional(),
  reason: text(1_000).optional(),
})
export type SetCanary = z.infer<typeof SetCanary>

export const CanaryQuery = PageQuery.extend({ prompt: PromptName.optional() })
export type CanaryQuery = z.infer<typeof CanaryQuery>

export const Canary = z
  .object({
    alias: z.string(),
    prompt: z.string().nullable(),
    release: z.string().nullable(),
    version: z.string().nullable(),
    percentage: z.number(),
    revision: z.number().int(),
    startedAt: Timestamp,
  })
  .meta({ id: 'Canary' })
export type Canary = z.infer<typeof Canary>

export const CanaryPage = page(Canary)
