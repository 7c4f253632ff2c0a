import { z } from 'zod'
import { aliasPattern, isPromptName, labelPattern, reservedReason, slugPattern } from './names.js'
import { unstorableReason } from './text.js'

/** The pieces that requests and answers are made of; each declared once for validation, types and OpenAPI. */

/** A text that Postgres can keep, up to `max` characters. */
export const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine(
      (value) => unstorableReason(value) === null,
      'holds a NUL character or half of a surrogate pair, which cannot be stored',
    )

export const ProjectSlug = z
  .string()
  .regex(slugPattern, 'must be 1 to 63 lower-case letters, digits or dashes and not begin with a dash')
  .meta({ description: 'A project.', example: 'acme' })

export const PromptName = z
  .string()
  .refine(
    isPromptName,
    'must be lower-case segments joined by "/", each a letter or digit followed by letters, digits, ".", "_" or "-"; at most 200 characters, in Unicode NFKC',
  )
  .meta({ description: 'A prompt name; in a URL "/" is written %2F.', example: 'customer_support' })

export const Ref = z
  .string()
  .regex(labelPattern, 'must be 1 to 63 letters, digits, ".", "_", "+" or "-" and begin with a letter or digit')
  .meta({
    description: 'A version or release (number or label), an alias, `latest`, `builtin` or a Git commit.',
    example: 'production',
  })

/** A prompt by name and ref, as paths have it. */
export const FetchParams = z.strictObject({ name: PromptName, ref: Ref })

const unreserved = (value: string, context: z.core.$RefinementCtx<string>) => {
  const reason = reservedReason(value)
  if (reason) context.addIssue({ code: 'custom', message: `${reason} Choose another name.`, params: { code: 'name.reserved' } })
}

/** An alias as it is looked up: reserved words simply name none. */
export const AliasRef = z
  .string()
  .regex(aliasPattern, 'must be 1 to 63 lower-case letters, digits, ".", "_" or "-" and begin with a letter')
  .meta({ description: 'An alias.', example: 'production' })

/** An alias as it is made. */
export const AliasName = AliasRef.superRefine(unreserved)

/** A label as it is made. */
export const Label = z
  .string()
  .regex(labelPattern, 'must be 1 to 63 letters, digits, ".", "_", "+" or "-" and begin with a letter or digit')
  .superRefine(unreserved)
  .meta({ description: 'A label for the new release.', example: 'v1.2.0' })

export const JsonObject = z.record(z.string(), z.unknown())

export const Timestamp = z.iso.datetime()

/** `?project=` is understood by every call; the plugin that authenticates reads it. */
export const ProjectQuery = z.strictObject({ project: ProjectSlug.optional() })

export const PageQuery = ProjectQuery.extend({
  limit: z
    .string()
    .regex(/^\d{1,3}$/, 'must be a whole number from 1 to 200')
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= 200, 'must be a whole number from 1 to 200')
    .default(50)
    .meta({ description: 'Items a page, 1 to 200.' }),
  cursor: z.string().max(2_000).optional().meta({ description: '`nextCursor` of the page before.' }),
})
export type PageQuery = z.infer<typeof PageQuery>

export const page = <Item extends z.ZodType>(item: Item) => z.object({ items: z.array(item), nextCursor: z.string().nullable() })

/** RFC 9457. */
export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    requestId: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' })
