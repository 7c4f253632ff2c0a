import { z } from 'zod'
import { AliasName, JsonObject, Label, ProjectQuery, PromptName, Ref, Timestamp, text } from '../../lib/schemas.js'
import { tagsKey } from '../../lib/variants.js'
import { IfMatch } from '../aliases/aliases.schema.js'
import { promptFields } from '../prompts/prompts.schema.js'

export const maxContentBytes = 256 * 1024
/** Of a whole version as it is hashed: every read of it costs as much. */
export const maxVersionBytes = 1024 * 1024
export const maxPrompts = 20_000

const tooLarge = `is over ${maxContentBytes / 1024} KiB. Split the prompt.`
const tooLargeIssue = (input: unknown, path: (string | number)[] = []) => ({
  code: 'custom' as const,
  input,
  path,
  message: tooLarge,
  params: { code: 'content.too_large' },
})

// The limit is of bytes, and has a code of its own: a second one of characters would come first.
const Content = text(Number.MAX_SAFE_INTEGER).check((context) => {
  if (Buffer.byteLength(context.value) > maxContentBytes) context.issues.push(tooLargeIssue(context.value))
})

const Message = z.strictObject({
  role: z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, 'must be a lower-case word such as system, user or assistant'),
  content: Content,
})

const Placeholder = z.strictObject({
  placeholder: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'must be the name of a variable: a letter or "_", then letters, digits or "_"')
    .meta({ description: 'A variable that is a list of messages, which are inserted here when the prompt is rendered.' }),
})

const Messages = z
  .array(z.union([Message, Placeholder]))
  .min(1)
  .max(500)

const BoundedObject = JsonObject.check((context) => {
  if (Buffer.byteLength(JSON.stringify(context.value)) > maxContentBytes) context.issues.push(tooLargeIssue(context.value))
})

const Tag = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[^:\0]+$/, 'must not hold a colon')
const VariantTags = z
  .record(Tag, text(256).min(1))
  .refine((tags) => Object.keys(tags).length >= 1 && Object.keys(tags).length <= 32, 'must hold 1 to 32 tags')

const Variant = z.strictObject({ tags: VariantTags, content: Content.optional(), messages: Messages.optional() })

const Template = z.enum(['jinja', 'none']).meta({ description: '`none` for text that is sent as it is.' })

export const PushPrompt = z
  .strictObject({
    name: PromptName,
    ...promptFields,
    content: Content.optional(),
    messages: Messages.optional(),
    template: Template.optional(),
    config: BoundedObject.optional(),
    inputs: BoundedObject.nullable().optional().meta({ description: 'A JSON Schema of the variables.' }),
    variants: z.array(Variant).max(200).optional(),
  })
  .superRefine((prompt, context) => {
    const issue = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
    const kind = (body: { content?: unknown; messages?: unknown }) => (body.messages === undefined ? 'text' : 'chat')
    const hasOneBody = (body: { content?: unknown; messages?: unknown }) =>
      (body.content === undefined) !== (body.messages === undefined)
    if (!hasOneBody(prompt)) issue(['content'], 'give either `content` or `messages`')
    const seen = new Set<string>()
    for (const [index, variant] of (prompt.variants ?? []).entries()) {
      if (!hasOneBody(variant) || kind(variant) !== kind(prompt))
        issue(['variants', index], `must be ${kind(prompt)}, as the prompt is`)
      const key = tagsKey(variant.tags)
      if (seen.has(key)) issue(['variants', index, 'tags'], 'are those of an earlier variant')
      seen.add(key)
    }
  })
export type PushPrompt = z.infer<typeof PushPrompt>

export const PushFile = z.strictObject({
  path: text(1_000)
    .min(1)
    .meta({ description: 'Its path without the extension becomes the name.', example: 'customer_support.yaml' }),
  content: text(1024 * 1024),
})
export type PushFile = z.infer<typeof PushFile>

export const PushGit = z.strictObject({
  repo: text(2_048).nullable().optional(),
  commit: z
    .string()
    .regex(/^[0-9a-fA-F]{40}$/, 'must be 40 hex digits')
    .transform((commit) => commit.toLowerCase()),
  branch: text(255).nullable().optional(),
  dirty: z.boolean().nullable().optional(),
})

const envelope = {
  version: Label.optional(),
  alias: AliasName.optional().meta({ description: 'A project alias to move to the release.' }),
  base: Ref.optional().meta({ description: 'The release to build on; by default that of `alias`, else the newest.' }),
  prune: z.boolean().default(false).meta({ description: 'Also drop prompts the push does not carry.' }),
  dryRun: z.boolean().default(false),
  message: text(2_000).optional(),
  template: Template.optional().meta({ description: 'For prompts and files that do not say.' }),
  git: PushGit.optional(),
}

const prompts = z.array(PushPrompt).max(maxPrompts)
const files = z.array(PushFile).max(maxPrompts)

/** The whole request, for the OpenAPI. */
export const PushRequest = z
  .strictObject({ ...envelope, prompts: prompts.optional(), files: files.optional() })
  .meta({ id: 'PushRequest' })

/** The request with its lists unread: their items are validated one by one, so that other work gets its turn. */
export const PushEnvelope = z.strictObject({
  ...envelope,
  prompts: z.array(z.unknown()).max(maxPrompts).default([]),
  files: z.array(z.unknown()).max(maxPrompts).default([]),
})
export type PushEnvelope = z.infer<typeof PushEnvelope>

export const PushQuery = ProjectQuery
export const PushHeaders = IfMatch

export const PushAnswer = z
  .object({
    release: z.object({
      number: z.number().int().nullable(),
      label: z.string().nullable(),
      ref: z.string().nullable(),
      createdAt: Timestamp.nullable(),
    }),
    results: z.array(
      z.object({
        name: z.string(),
        version: z.string().nullable(),
        number: z.number().int().nullable(),
        status: z.enum(['created', 'unchanged', 'removed']),
        cause: z.string().optional().meta({
          description: 'Why a version was made of a prompt whose own content did not change: something it includes did.',
        }),
      }),
    ),
    alias: z.object({ name: z.string(), release: z.string().nullable(), revision: z.number().int().nullable() }).nullable(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'PushAnswer' })
export type PushAnswer = z.infer<typeof PushAnswer>
