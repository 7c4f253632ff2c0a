import { z } from 'zod'
import { readGitAddress } from '../lib/git-address.js'
import { secret } from './provider.js'

export type GitConfig = z.infer<typeof GitConfig>

export const GitConfig = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(2000)
      .superRefine((url, issues) => {
        const read = readGitAddress(url)
        if ('problem' in read) issues.addIssue({ code: 'custom', message: read.problem })
      })
      .meta({ description: 'The repository: `https://host/path`, `ssh://git@host/path` or `git@host:path`.' }),
    ref: z
      .string()
      .min(1)
      .max(255)
      .refine(isRef, 'Give the name of a branch or tag, or all 40 digits of a commit.')
      .meta({ description: 'A branch, a tag or a commit; by default the default branch.' })
      .optional(),
    path: z
      .string()
      .max(500)
      .overwrite((path) => path.replace(/^\/+|\/+$/g, ''))
      .refine(
        (path) => path === '' || isRelativePath(path),
        'Give a folder of the repository, such as "prompts/production", without "." and "..".',
      )
      .meta({ description: 'The folder that the files are taken from; by default all of the repository.' })
      .optional(),
    token: secret(z.string().regex(/^[\x21-\x7e]{1,4000}$/, 'Give the token as it is, without blanks.')).optional(),
    username: z
      .string()
      .regex(/^[\x21-\x39\x3b-\x7e]{1,200}$/, 'Give the user that the token is of, without blanks and colons.')
      .meta({ description: 'The user that goes with the token; by default `x-access-token`.' })
      .optional(),
    sshKey: secret(z.string().min(1).max(32_768)).optional(),
    hostKeys: z
      .array(
        z
          .string()
          .max(2000)
          .regex(/^[^\s#@]\S* [a-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\r\n]*)?$/, 'Give lines as in `known_hosts`: host, kind and key.'),
      )
      .min(1)
      .max(50)
      .meta({ description: 'The keys of the host, as lines of `known_hosts`; `ssh-keyscan` prints them.' })
      .optional(),
  })
  .superRefine((config, issues) => {
    for (const [field, message] of misfits(config)) issues.addIssue({ code: 'custom', path: [field], message })
  })

/** Whether it leads from a folder to what is below that, for whatever program reads it. Pure. */
export function isRelativePath(path: string): boolean {
  return !/[\\\p{Cc}]/u.test(path) && path.split('/').every((segment) => !['', '.', '..'].includes(segment))
}

/** What Git takes as a name, without what has a meaning in patterns. */
function isRef(ref: string): boolean {
  if (/[\s\p{Cc}~^:?*[\\]|\.\.|@\{|\/\/|\.lock(\/|$)/u.test(ref)) return false
  return !/^[-/.]|[/.]$|\/\.|^@$/.test(ref)
}

function misfits(config: {
  url: string
  token?: unknown
  username?: unknown
  sshKey?: unknown
  hostKeys?: unknown
}): [string, string][] {
  const address = readGitAddress(config.url)
  if ('problem' in address) return []
  const given = (['token', 'username', 'sshKey', 'hostKeys'] as const).filter((field) => config[field] !== undefined)
  const fitting: readonly string[] = address.protocol === 'ssh' ? ['sshKey', 'hostKeys'] : ['token', 'username']
  const wrong = given.filter((field) => !fitting.includes(field))
  const missing = address.protocol === 'ssh' ? fitting.filter((field) => !given.some((one) => one === field)) : []
  return [
    ...wrong.map((field): [string, string] => [
      field,
      `Leave \`${field}\` out: an address of ${address.protocol} has no use for it.`,
    ]),
    ...missing.map((field): [string, string] => [field, `An address of ssh needs \`${field}\`. Give it, or use https.`]),
  ]
}
