import { z } from 'zod'
import { AliasName, AliasRef, PageQuery, ProjectQuery, PromptName, page, Ref, Timestamp, text } from '../../lib/schemas.js'

export const AliasParams = z.strictObject({ alias: AliasRef })
export const NewAliasParams = z.strictObject({ alias: AliasName })

const prompt = PromptName.optional().meta({ description: 'Names a pin: the alias of this one prompt.' })

export const AliasQuery = ProjectQuery.extend({ prompt })
export const AliasPageQuery = PageQuery.extend({ prompt })
export type AliasPageQuery = z.infer<typeof AliasPageQuery>

export const IfMatch = z
  .object({
    'if-match': z
      .string()
      .regex(/^\s*(\*|(W\/)?"\d{1,9}"(\s*,\s*(W\/)?"\d{1,9}")*)\s*$/, 'must be "<revision>" as in the ETag, with its quotes')
      .optional(),
  })
  .loose()

export const MoveAlias = z.strictObject({
  version: Ref.meta({ description: 'The release (or, with `prompt`, the version) to point to.' }),
  prompt: PromptName.optional(),
  reason: text(1_000).optional(),
  dryRun: z.boolean().default(false),
})
export type MoveAlias = z.infer<typeof MoveAlias>

export const AliasChange = z.strictObject({ reason: text(1_000).optional() }).nullish()

/** Either side of an alias: a release, or for a pin a version. */
const target = {
  release: z.string().nullable(),
  version: z.string().nullable().meta({ description: 'Of a pin; null for a project alias.' }),
}

export const RunningCanary = z.object({ ...target, percentage: z.number(), startedAt: Timestamp })

export const Alias = z
  .object({
    name: z.string(),
    prompt: z.string().nullable(),
    ...target,
    revision: z.number().int().nullable(),
    canary: RunningCanary.nullable(),
    createdAt: Timestamp.nullable(),
    updatedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Alias' })
export type Alias = z.infer<typeof Alias>

export const MovedAlias = Alias.extend({ warnings: z.array(z.string()) }).meta({ id: 'MovedAlias' })
export type MovedAlias = z.infer<typeof MovedAlias>

export const AliasPage = page(Alias)

export const AliasMove = z
  .object({
    revision: z.number().int(),
    action: z.enum(['move', 'rollback', 'promote', 'canary', 'canary.end', 'delete']),
    ...target,
    canary: z.object({ ...target, percentage: z.number() }).nullable(),
    reason: z.string().nullable(),
    actor: z.string(),
    requestId: z.string(),
    createdAt: Timestamp,
  })
  .meta({ id: 'AliasMove' })
export type AliasMove = z.infer<typeof AliasMove>

export const AliasMovePage = page(AliasMove)
