import { z } from 'zod'
import { JsonObject, text } from '../../lib/schemas.js'
import { FetchedPrompt, FetchQuery, maxTags } from '../fetch/fetch.schema.js'

export const RenderQuery = FetchQuery.pick({ project: true, canary: true, fallback: true })

export const RenderRequest = z
  .strictObject({
    variables: JsonObject.default({}),
    tags: z
      .record(text(64).min(1), text(400).min(1))
      .refine((tags) => Object.keys(tags).length <= maxTags, `must hold at most ${maxTags} tags`)
      .default({})
      .meta({ description: 'What a variant is chosen by.' }),
    key: text(1_024).min(1).optional().meta({ description: 'The subject: the same key stays on its side of a canary.' }),
    strict: z
      .boolean()
      .default(true)
      .meta({ description: 'Without it missing variables are rendered empty; with it all of them are named in one error.' }),
  })
  .meta({ id: 'RenderRequest' })
export type RenderRequest = z.infer<typeof RenderRequest>

const RenderedMessage = z.looseObject({ role: z.string() }).meta({
  id: 'RenderedMessage',
  description: 'A role and its rendered `content`; what a placeholder inserts keeps its other members.',
})

export const RenderedPrompt = FetchedPrompt.omit({ content: true, messages: true })
  .extend({ text: z.string().nullable(), messages: z.array(RenderedMessage).nullable() })
  .meta({ id: 'RenderedPrompt' })
export type RenderedPrompt = z.infer<typeof RenderedPrompt>
