import { z } from 'zod'
import { scopes } from '../../lib/access.js'
import { ProjectSlug, page, Timestamp, text } from '../../lib/schemas.js'

export const Scope = z.enum(scopes).meta({ description: '`admin` holds all the others.' })

export const CreateKey = z.strictObject({
  name: text(100).min(1),
  project: ProjectSlug.nullable().optional().meta({ description: 'The one project the key may see; without it a global key.' }),
  scopes: z.array(Scope).min(1).max(scopes.length),
  expiresAt: z.iso
    .datetime({ offset: true })
    .refine((text) => new Date(text).getUTCFullYear() <= 9999, 'must be before the year 10000')
    .nullable()
    .optional(),
})
export type CreateKey = z.infer<typeof CreateKey>

export const KeyParams = z.strictObject({ id: z.uuid() })

export const Key = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string().nullable(),
    scopes: z.array(Scope),
    createdAt: Timestamp,
    expiresAt: Timestamp.nullable(),
    revokedAt: Timestamp.nullable(),
    lastUsedAt: Timestamp.nullable().meta({ description: 'Recorded every half minute.' }),
  })
  .meta({ id: 'Key' })
export type Key = z.infer<typeof Key>

export const NewKey = Key.extend({ secret: z.string().meta({ description: 'Shown this once.' }) }).meta({ id: 'NewKey' })
export type NewKey = z.infer<typeof NewKey>

export const KeyPage = page(Key)
