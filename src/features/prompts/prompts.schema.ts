import { z } from 'zod'
import { JsonObject, PageQuery, ProjectQuery, PromptName, page, Timestamp, text } from '../../lib/schemas.js'
import { GitAnswer } from '../releases/releases.schema.js'

/** What belongs to the prompt and not to a version; the bounds are the same for a push and a PATCH. */
export const promptFields = {
  title: text(200).nullable().optional(),
  description: text(10_000).nullable().optional(),
  labels: z.array(text(100).min(1)).max(50).optional(),
  metadata: JsonObject.refine((value) => JSON.stringify(value).length <= 65_536, 'must be at most 64 KiB as JSON').optional(),
}

export const UpdatePrompt = z.strictObject(promptFields)
export type UpdatePrompt = z.infer<typeof UpdatePrompt>

export const PromptParams = z.strictObject({ name: PromptName })
export const PromptOnly = ProjectQuery

export const PromptListQuery = PageQuery.extend({
  search: text(200).min(1).optional().meta({ description: 'A part of the name, title or description, in any case.' }),
  label: text(100).min(1).optional().meta({ description: 'Only prompts with this label.' }),
})
export type PromptListQuery = z.infer<typeof PromptListQuery>

export const PromptAlias = z.object({
  name: z.string(),
  release: z.string().nullable(),
  version: z.string().meta({ description: 'The version of this prompt that the alias gives.' }),
  pinned: z.boolean(),
})

const ContentHash = z.string().nullable().meta({ description: 'Null once the version is purged.' })

export const Prompt = z
  .object({
    name: z.string(),
    title: z.string().nullable(),
    description: z.string().nullable(),
    labels: z.array(z.string()),
    metadata: JsonObject,
    latest: z
      .object({ version: z.string(), number: z.number().int(), contentHash: ContentHash, createdAt: Timestamp })
      .nullable(),
    aliases: z.array(PromptAlias),
    archived: z.boolean(),
    createdAt: Timestamp,
    updatedAt: Timestamp,
  })
  .meta({ id: 'Prompt' })
export type Prompt = z.infer<typeof Prompt>

export const PromptPage = page(Prompt)

export const Version = z
  .object({
    version: z.string(),
    number: z.number().int(),
    label: z.string().nullable(),
    type: z.enum(['text', 'chat']),
    template: z.enum(['jinja', 'none']),
    contentHash: ContentHash,
    variantCount: z.number().int(),
    release: z.string().meta({ description: 'The release that first held it.' }),
    message: z.string().nullable(),
    git: GitAnswer.nullable(),
    path: z.string().nullable(),
    createdAt: Timestamp,
    purgedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Version' })
export type Version = z.infer<typeof Version>

export const VersionPage = page(Version)
