import { z } from 'zod'

/** A version that a prompt includes, with all that is needed to format it elsewhere. */
export const IncludedPrompt = z
  .object({
    name: z.string(),
    version: z.string(),
    template: z.enum(['jinja', 'none']),
    content: z.string(),
    contentHash: z.string(),
    includes: z
      .record(z.string(), z.string())
      .meta({ description: 'Its own references as they are written, and under which keys of the whole they stand.' }),
  })
  .meta({ id: 'IncludedPrompt' })
export type IncludedPrompt = z.infer<typeof IncludedPrompt>

/**
 * Everything a prompt includes, directly or not. Its own references are keys as they are written; so are those of what it
 * includes, unless the same reference got another version there.
 */
export const IncludedPrompts = z.record(z.string(), IncludedPrompt)
export type IncludedPrompts = z.infer<typeof IncludedPrompts>
