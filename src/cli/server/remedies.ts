import { PromptsyncError } from '../../client/problem.js'
import { errorTable } from '../../errors.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { plainCommandLine } from '../terminal/command-line.js'

/** The table of errors speaks of requests. This is what to do about the same by commands; null where the detail says it all. */
const byCommands: Readonly<Record<string, string | null>> = {
  'alias.not_found': 'See those that there are: promptsync alias list',
  'prompt.not_found': 'See those that there are: promptsync list',
  'release.not_found': 'See those that there are: promptsync release list',
  'ref.not_found': 'See those that there are: promptsync version list NAME, promptsync alias list, promptsync release list',
  'canary.not_found': 'See those that there are: promptsync canary list',
  'key.not_found': 'See those that there are: promptsync key list',
  'source.not_found': 'See those that there are: promptsync source list',
  'run.not_found': null,
  'route.not_found': 'Check the address of the server, and that it is of this version: promptsync status',
  'scope.missing': 'Use a key that has the scope: promptsync login',
  'scope.global': 'Use an admin key that belongs to no project: promptsync login',
  'project.exists': 'Choose another slug, or change the project that there is: promptsync project set',
  'alias.moved': 'Look at it again (promptsync alias list), and repeat the command if it is still right.',
  'canary.active': 'First promote the canary or end it: promptsync canary promote ALIAS, promptsync canary delete ALIAS',
  'rollback.empty': 'Name where it is to point to: promptsync alias set ALIAS VERSION',
  'content.purged': 'Leave it out, or have an admin allow it again.',
  'body.too_large': 'Push fewer files at once, or raise PROMPTSYNC_BODY_LIMIT on the server.',
  'validation.failed': null,
  'content.blocked': null,
  'template.syntax': 'Correct the line, or push with --template none if it is no Jinja.',
  'variables.missing': 'Give them by --var NAME=VALUE or --vars FILE, or leave them empty: --no-strict',
}

/** What to do about an error, as far as that can be said; null where its message says it already. */
export async function remedyOf(context: Context, error: unknown): Promise<string | null> {
  if (error instanceof CliError) return error.remedy
  if (!(error instanceof PromptsyncError)) return null
  if (error.status === 401) return remedyOfKey(context)
  if (error.code === 'project.not_found') return remedyOfProject(context)
  if (Object.hasOwn(byCommands, error.code)) return byCommands[error.code] ?? null
  const known = Object.hasOwn(errorTable, error.code) ? errorTable[error.code as keyof typeof errorTable] : null
  return known === null ? null : known[2].replaceAll('`', '')
}

function remedyOfKey({ server }: Context): string {
  const { url, tokenFrom } = server()
  if (tokenFrom === null) return `Log in with a key of ${url} (promptsync login), or set PROMPTSYNC_TOKEN.`
  return `The key is that of ${tokenFrom}. Log in with another one (promptsync login), or set PROMPTSYNC_TOKEN.`
}

async function remedyOfProject({ project }: Context): Promise<string> {
  const { slug, from } = await project()
  const named = slug === null ? 'No project is named here.' : `The project "${slug}" comes from ${from}.`
  return `${named} Name another one by --project, PROMPTSYNC_PROJECT or "project" in promptsync.config.yaml, or make it: ${plainCommandLine('project', 'create', slug ?? 'NAME')}`
}
