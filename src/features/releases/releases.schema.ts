import { z } from 'zod'
import { PageQuery, page, Ref, Timestamp } from '../../lib/schemas.js'

/** Where a push came from. */
export const GitAnswer = z
  .object({ repo: z.string().nullable(), commit: z.string(), branch: z.string().nullable(), dirty: z.boolean().nullable() })
  .meta({ id: 'Git' })

export const Release = z
  .object({
    number: z.number().int(),
    label: z.string().nullable(),
    ref: z.string().meta({ description: 'The label if there is one, else `r<N>`.' }),
    base: z.string().nullable().meta({ description: 'The release it was built on.' }),
    message: z.string().nullable(),
    git: GitAnswer.nullable(),
    actor: z.string(),
    createdAt: Timestamp,
  })
  .meta({ id: 'Release' })
export type Release = z.infer<typeof Release>

export const ReleasePage = page(Release)

export const ReleaseParams = z.strictObject({ ref: Ref })
export const ReleaseQuery = PageQuery

export const ReleaseSnapshot = Release.extend({
  promptCount: z.number().int(),
  items: z.array(z.object({ name: z.string(), version: z.string(), number: z.number().int() })),
  nextCursor: z.string().nullable(),
}).meta({ id: 'ReleaseSnapshot' })
export type ReleaseSnapshot = z.infer<typeof ReleaseSnapshot>
