import { z } from 'zod'

const signature = (what: string) =>
  z
    .string()
    .optional()
    .meta({ description: `\`sha256=\` and the HMAC-SHA-256 of ${what} in hex, by the source's \`webhookSecret\`.` })

/** Names off their grammar are refused as unknown ones are, so that no answer tells them apart. */
export const HookParams = z.object({
  project: z.string().meta({ description: 'The project of the source.', example: 'acme' }),
  source: z.string().meta({ description: 'The source that has changed.', example: 'team-prompts' }),
})
export type HookParams = z.infer<typeof HookParams>

export const GithubHookHeaders = z.looseObject({
  'x-hub-signature-256': signature('the body'),
  'x-github-event': z.string().optional().meta({ description: 'A `push` starts a sync.', example: 'push' }),
  'x-github-delivery': z.string().optional().meta({ description: 'A delivery counts once.' }),
  'content-type': z.string().optional(),
})
export type GithubHookHeaders = z.infer<typeof GithubHookHeaders>

export const SignedHookHeaders = z.looseObject({
  'x-promptsync-timestamp': z
    .string()
    .optional()
    .meta({ description: 'When it was signed: Unix seconds, at most 5 minutes off.', example: '1767225600' }),
  'x-promptsync-signature': signature('timestamp, `.` and body'),
})
export type SignedHookHeaders = z.infer<typeof SignedHookHeaders>

/** What is read of a push to a repository. */
export const GithubPush = z.object({
  ref: z.string(),
  repository: z.object({ default_branch: z.string().optional() }).optional(),
})
export type GithubPush = z.infer<typeof GithubPush>

export const HookAnswer = z
  .object({
    status: z.enum(['accepted', 'ignored', 'duplicate']),
    run: z.string().nullable().meta({ description: 'The sync that follows; `GET /sources/:name/runs/:run` tells of it.' }),
    reason: z.string().optional().meta({ description: 'Why no sync follows.' }),
  })
  .meta({ id: 'HookAnswer' })
export type HookAnswer = z.infer<typeof HookAnswer>
