import { z } from 'zod'
import { globProblem } from '../../lib/glob.js'
import { slugPattern } from '../../lib/names.js'
import { AliasName, JsonObject, PageQuery, ProjectQuery, PromptName, page, Timestamp, text } from '../../lib/schemas.js'

export const SourceName = z
  .string()
  .regex(slugPattern, 'must be 1 to 63 lower-case letters, digits or dashes and not begin with a dash')
  .meta({ description: 'A source of the project.', example: 'team-prompts' })

export const SourceParams = z.strictObject({ name: SourceName })
export const RunParams = z.strictObject({ name: SourceName, run: z.string().regex(/^[1-9]\d{0,17}$/, 'must be the id of a run') })

const Glob = text(300)
  .min(1)
  .superRefine((pattern, context) => {
    const problem = globProblem(pattern)
    if (problem) context.addIssue({ code: 'custom', message: `${problem}. Write several simpler patterns.` })
  })
  .meta({ description: 'A path with `*`, `**`, `?`, `[abc]` or `{a,b}`.', example: 'prompts/**/*.md' })

const day = 24 * 60 * 60

export const PutSource = z.strictObject({
  provider: z
    .string()
    .max(30)
    .meta({ description: '`github`, `git`, `http`, `file`, `database` or `inline`.', example: 'github' }),
  config: JsonObject.meta({
    description: 'What the provider needs; `docs/providers.md` tells. A credential that is stored already is kept by `"set"`.',
  }),
  prefix: PromptName.nullable()
    .default(null)
    .meta({ description: 'What the names of its prompts begin with.', example: 'team-a' }),
  include: z.array(Glob).max(50).default([]),
  exclude: z.array(Glob).max(50).default([]),
  template: z.enum(['jinja', 'none']).default('jinja'),
  alias: AliasName.nullable()
    .default(null)
    .meta({ description: 'The alias that its syncs move; by default that of the project.' }),
  ttlSeconds: z
    .number()
    .int()
    .min(10)
    .max(7 * day)
    .default(300)
    .meta({ description: 'After so long it is checked again.' }),
  staleSeconds: z
    .number()
    .int()
    .min(0)
    .max(365 * day)
    .nullable()
    .default(null)
    .meta({ description: 'For how long `/resolve` serves it when it is out of reach; by default without a limit.' }),
  webhookSecret: z
    .union([text(512).min(16), z.literal('set')], 'must have 16 to 512 characters, or be "set"')
    .nullable()
    .optional()
    .meta({ description: 'What webhooks are signed by; left out or `"set"`, the stored one is kept.' }),
  enabled: z.boolean().default(true),
})
export type PutSource = z.infer<typeof PutSource>

export const SyncQuery = ProjectQuery.extend({
  wait: z
    .enum(['true', 'false'])
    .default('true')
    .meta({ description: '`false` answers 202 at once, with a run to be asked for.' }),
  force: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: '`true` reads what is there even if nothing changed there.' }),
})

const SourceFinding = z.object({ path: z.string(), message: z.string(), line: z.number().int().optional() })

/** What was asked of the other side. */
const Fetched = z.object({
  what: z.string(),
  statusCode: z.number().int().nullable(),
  durationMs: z.number().int(),
  error: z.string().nullable(),
})

const Counts = z.object({
  files: z.number().int(),
  created: z.number().int(),
  unchanged: z.number().int(),
  removed: z.number().int(),
})

export const Run = z
  .object({
    id: z.string(),
    source: z.string(),
    status: z.enum(['pending', 'running', 'success', 'unchanged', 'failed']),
    trigger: z.enum(['request', 'webhook', 'schedule', 'setup']),
    actor: z.string(),
    commit: z.string().nullable(),
    release: z.string().nullable().meta({ description: 'What the sync made, or found made already.' }),
    counts: Counts.nullable(),
    errors: z.array(SourceFinding.extend({ code: z.string() })),
    warnings: z.array(z.string()),
    fetches: z.array(Fetched),
    createdAt: Timestamp,
    startedAt: Timestamp.nullable(),
    finishedAt: Timestamp.nullable(),
    durationMs: z.number().int().nullable(),
  })
  .meta({ id: 'SourceRun' })
export type Run = z.infer<typeof Run>

export const RunPage = page(Run)

export const Source = z
  .object({
    name: z.string(),
    provider: z.string(),
    config: JsonObject.meta({ description: 'Credentials read `"set"`.' }),
    prefix: z.string().nullable(),
    include: z.array(z.string()),
    exclude: z.array(z.string()),
    template: z.enum(['jinja', 'none']),
    alias: z.string().nullable(),
    ttlSeconds: z.number().int(),
    staleSeconds: z.number().int().nullable(),
    webhookSecret: z.literal('set').nullable(),
    enabled: z.boolean(),
    status: z.enum(['success', 'failed', 'pending']),
    commit: z.string().nullable(),
    release: z.string().nullable(),
    prompts: z.number().int().meta({ description: 'How many files became prompts in the last sync that succeeded.' }),
    checkedAt: Timestamp.nullable(),
    syncedAt: Timestamp.nullable(),
    unreachableSince: Timestamp.nullable(),
    nextCheckAt: Timestamp.nullable(),
    lastRun: Run.nullable(),
    createdAt: Timestamp,
    updatedAt: Timestamp,
  })
  .meta({ id: 'Source' })
export type Source = z.infer<typeof Source>

export const SourcePage = page(Source)
export const SourcePageQuery = PageQuery

/** What a sync would do. */
export const SourceTest = z
  .object({
    ok: z.boolean(),
    commit: z.string().nullable(),
    errors: z.array(SourceFinding.extend({ code: z.string() })),
    warnings: z.array(z.string()),
    results: z.array(z.object({ name: z.string(), status: z.enum(['created', 'unchanged', 'removed']) })),
    counts: Counts,
    fetches: z.array(Fetched),
  })
  .meta({ id: 'SourceTest' })
export type SourceTest = z.infer<typeof SourceTest>
