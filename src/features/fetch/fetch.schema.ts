import { z } from 'zod'
import { JsonObject, ProjectQuery, Timestamp, text } from '../../lib/schemas.js'
import type { Tags } from '../../lib/variants.js'
import { IncludedPrompts } from '../includes/includes.schema.js'

export const maxTags = 32
const tagText = text(400)

/** `locale:cn`, once or several times, as tags. */
const TagQuery = z
  .union([tagText, z.array(tagText).max(maxTags)], {
    error: `must be tag:value, at most ${maxTags} times and 400 characters each`,
  })
  .transform((given, context): Tags => {
    const tags = new Map<string, string>()
    for (const pair of [given].flat()) {
      const colon = pair.indexOf(':')
      const tag = pair.slice(0, colon)
      if (colon < 1 || colon === pair.length - 1)
        context.addIssue({ code: 'custom', message: `"${pair}" is not of the form tag:value` })
      else if (tags.has(tag)) context.addIssue({ code: 'custom', message: `names "${tag}" twice` })
      else tags.set(tag, pair.slice(colon + 1))
    }
    return Object.fromEntries(tags)
  })
  .optional()
  .meta({ description: 'A tag to choose a variant by, `locale:cn` say; repeatable.' })

export const FetchQuery = ProjectQuery.extend({
  tag: TagQuery,
  key: text(1_024).min(1).optional().meta({ description: 'The subject: the same key stays on its side of a canary.' }),
  canary: z.literal('off').optional().meta({ description: '`off` ignores a running canary.' }),
  fallback: z.literal('default').optional().meta({ description: '`default` answers a built-in where the registry has nothing.' }),
})
export type FetchQuery = z.infer<typeof FetchQuery>

export const FetchHeaders = z
  .object({ accept: z.string().max(2_000).optional(), 'if-none-match': z.string().max(8_000).optional() })
  .loose()

export const VariableAnswer = z.object({
  name: z.string(),
  required: z.boolean().meta({ description: 'False if every use is guarded by a default, an `is defined` or an `if`.' }),
  paths: z
    .array(z.string())
    .optional()
    .meta({ description: 'What of it is used, where that is not simply the whole: `docs[].title`, say.' }),
})

export const MessageAnswer = z.union([
  z.object({ role: z.string(), content: z.string() }),
  z.object({ placeholder: z.string() }).meta({ description: 'A variable, a list of messages that belong here.' }),
])

export const FetchedPrompt = z
  .object({
    name: z.string(),
    version: z.string(),
    ref: z.string(),
    release: z.string().nullable(),
    type: z.enum(['text', 'chat']),
    template: z.enum(['jinja', 'none']),
    content: z.string().nullable(),
    messages: z.array(MessageAnswer).nullable(),
    config: JsonObject,
    inputs: JsonObject.nullable(),
    variables: z.array(VariableAnswer),
    includes: IncludedPrompts.meta({
      description: 'Everything it includes, directly or not: its own references as they are written, and those further down.',
    }),
    tags: z.record(z.string(), z.string()).meta({ description: "The chosen variant's own; none for the version's own content." }),
    contentHash: z.string().meta({ description: 'Of the whole version, variants included.' }),
    source: z.enum(['registry', 'default', 'fallback']),
    canary: z
      .object({ release: z.string().nullable(), version: z.string().nullable(), percentage: z.number(), selected: z.boolean() })
      .nullable(),
    git: z.object({ repo: z.string().nullable(), commit: z.string(), path: z.string().nullable() }).nullable(),
    createdAt: Timestamp.nullable().meta({ description: 'Null for a built-in.' }),
  })
  .meta({ id: 'FetchedPrompt' })
export type FetchedPrompt = z.infer<typeof FetchedPrompt>
