import { z } from 'zod'
import type * as told from '../../lib/diff/prompt-diff.js'
import { ProjectQuery, Ref } from '../../lib/schemas.js'
import { VariableAnswer } from '../fetch/fetch.schema.js'

/** Mirrors of the types that the comparison itself has: `satisfies` and a test keep them the same. */

const count = z.number().int()
const Tags = z.record(z.string(), z.string())
const Status = z.enum(['added', 'removed', 'changed'])
const fromTo = <Value extends z.ZodType>(value: Value) => z.object({ from: value.nullable(), to: value.nullable() })

export const DiffWord = z
  .object({ kind: z.enum(['same', 'changed']), text: z.string() })
  .meta({ id: 'DiffWord' }) satisfies z.ZodType<told.DiffWord>

export const DiffLine = z
  .object({
    kind: z.enum(['same', 'removed', 'added']),
    text: z.string().meta({ description: 'Without its line feed.' }),
    words: z.array(DiffWord).optional().meta({
      description: 'The parts of a line that another took the place of, where they are alike; together they are the line.',
    }),
    noNewline: z.literal(true).optional().meta({ description: 'It is the last line, and no line feed ends it.' }),
  })
  .meta({ id: 'DiffLine' }) satisfies z.ZodType<told.DiffLine>

export const DiffHunk = z
  .object({
    fromLine: count.meta({ description: 'From 1, as in unified diffs; without lines on this side, the line before.' }),
    fromCount: count,
    toLine: count,
    toCount: count,
    lines: z.array(DiffLine),
  })
  .meta({ id: 'DiffHunk' }) satisfies z.ZodType<told.DiffHunk>

export const TextDiff = z
  .object({
    added: count.meta({ description: 'Lines.' }),
    removed: count.meta({ description: 'Lines.' }),
    hunks: z.array(DiffHunk).meta({ description: 'None where there are too many lines to tell.' }),
    isCoarse: z
      .boolean()
      .meta({ description: 'Not all that stayed the same was found, or told: the texts are very large, or very different.' }),
  })
  .meta({ id: 'TextDiff' }) satisfies z.ZodType<told.TextDiff>

export const DiffChange = z
  .object({
    path: z
      .string()
      .meta({ description: 'Such as `tools[0].name`; empty for the whole, where there are too many changes to tell.' }),
    op: Status,
    from: z.unknown().optional(),
    to: z.unknown().optional(),
  })
  .meta({ id: 'DiffChange' }) satisfies z.ZodType<told.DiffChange>

export const MessageDiff = z
  .object({
    status: Status,
    index: fromTo(count).meta({ description: 'From 0.' }),
    role: fromTo(z.string()),
    placeholder: fromTo(z.string()),
    content: TextDiff.nullable(),
  })
  .meta({ id: 'MessageDiff' }) satisfies z.ZodType<told.MessageDiff>

export const VariantDiff = z
  .object({ tags: Tags, status: Status, content: TextDiff.nullable(), messages: z.array(MessageDiff) })
  .meta({ id: 'VariantDiff' }) satisfies z.ZodType<told.VariantDiff>

const Required = z.object({ required: z.boolean() })

export const VariablesDiff = z
  .object({
    added: z.array(VariableAnswer),
    removed: z.array(VariableAnswer),
    changed: z.array(z.object({ name: z.string(), from: Required, to: Required })),
  })
  .meta({ id: 'VariablesDiff' }) satisfies z.ZodType<told.VariablesDiff>

export const DiffSide = z
  .object({
    ref: z.string().meta({ description: 'As it was asked for.' }),
    version: z.string().nullable(),
    release: z.string().nullable(),
  })
  .meta({ id: 'DiffSide' }) satisfies z.ZodType<told.DiffSide>

export const PromptDiff = z
  .object({
    name: z.string(),
    from: DiffSide.nullable(),
    to: DiffSide.nullable(),
    identical: z.boolean().meta({ description: 'Nothing of what makes a version differs; the versions themselves may.' }),
    type: fromTo(z.enum(['text', 'chat'])).nullable(),
    template: fromTo(z.enum(['jinja', 'none'])).nullable(),
    content: TextDiff.nullable(),
    messages: z.array(MessageDiff),
    config: z.array(DiffChange),
    inputs: z.array(DiffChange),
    variables: VariablesDiff,
    variants: z.array(VariantDiff),
    includes: z.array(z.object({ name: z.string(), from: z.string().nullable(), to: z.string().nullable() })),
    outline: TextDiff.nullable().meta({ description: 'Everything beside texts, config and inputs, one thing a line.' }),
    configLines: TextDiff.nullable().meta({ description: 'The config as JSON line by line, where the order of keys counts.' }),
    inputsLines: TextDiff.nullable(),
  })
  .meta({ id: 'PromptDiff', description: 'What is the same is null or an empty list.' }) satisfies z.ZodType<told.PromptDiff>

export const DiffQuery = ProjectQuery.extend({
  from: Ref.meta({
    description: 'What is compared: any ref that a fetch takes; of an alias its stable target.',
    example: 'v1.0.0',
  }),
  to: Ref.meta({ description: 'What it is compared with.', example: 'production' }),
  format: z
    .enum(['json', 'unified', 'html'])
    .default('json')
    .meta({ description: '`unified` is plain text as tools read it, `html` a page by itself.' }),
})

export const ReleaseDiffQuery = DiffQuery.extend({
  from: Ref.meta({
    description: 'A release: a label, number, commit or `latest`, or an alias, whose stable target counts.',
    example: 'r1',
  }),
})

export const DiffHeaders = z.object({ 'if-none-match': z.string().max(8_000).optional() }).loose()

const Named = z.object({ name: z.string(), version: z.string() })
const ReleaseSide = z.object({ ref: z.string(), release: z.string() })

export const ReleaseDiff = z
  .object({
    from: ReleaseSide,
    to: ReleaseSide,
    counts: z.object({ added: count, removed: count, changed: count }),
    added: z.array(Named),
    removed: z.array(Named),
    changed: z.array(
      z.object({
        name: z.string(),
        from: z.string(),
        to: z.string(),
        diff: PromptDiff.nullable(),
        omitted: z.enum(['limit', 'purged']).nullable().meta({
          description: 'Why there is no `diff`: so many are told of one call, or content of one of the versions was purged.',
        }),
      }),
    ),
    truncated: z.boolean().meta({ description: 'Not all names are here; `counts` has all of them.' }),
  })
  .meta({ id: 'ReleaseDiff' })
export type ReleaseDiff = z.infer<typeof ReleaseDiff>
