import { z } from 'zod'
import { ProjectQuery, PromptName, Ref, Timestamp, text } from '../../lib/schemas.js'

export const PurgeParams = z.strictObject({ name: PromptName, ref: Ref })
export const PurgeOnly = ProjectQuery

export const PurgeVersion = z.strictObject({
  reason: text(1_000).min(1).meta({ description: 'Why; it is kept in the audit, so it should not repeat what is purged.' }),
})

const version = { name: z.string(), version: z.string(), number: z.number().int() }

export const PurgedVersion = z
  .object({
    ...version,
    purgedAt: Timestamp,
    others: z.array(z.object(version)).meta({ description: 'Versions that still hold the same text; at most 1,000 are named.' }),
    includers: z
      .array(z.object(version))
      .meta({ description: 'Versions that include it, directly or not, and answer 410 from now on; at most 1,000 are named.' }),
  })
  .meta({ id: 'PurgedVersion' })
export type PurgedVersion = z.infer<typeof PurgedVersion>

export const AllowedVersion = z.object({ ...version, allowed: z.literal(true) }).meta({ id: 'AllowedVersion' })
export type AllowedVersion = z.infer<typeof AllowedVersion>
