import type { Context } from '../context.js'
import type { TemplateOption } from '../options/template-option.js'
import { type GitState, readGit } from './git.js'
import type { LocalFile } from './local-prompts.js'

export type PushOptions = TemplateOption & {
  path?: string
  alias?: string
  version?: string
  message?: string
  base?: string
  prune?: boolean
  dryRun?: boolean
  /** False with `--no-git`. */
  git?: boolean
}

/** What `POST /prompts` and `POST /validate` take. */
export type PushBody = {
  files: LocalFile[]
  alias?: string | undefined
  version?: string | undefined
  message?: string | undefined
  base?: string | undefined
  prune?: boolean
  dryRun?: boolean
  template?: 'jinja' | 'none' | undefined
  git?: GitState
}

const maxRepoLength = 2_048
const maxBranchLength = 255

/** The request of a push: what the options say, else the settings, and the state of Git. */
export async function pushBody(
  context: Context,
  { root, files }: { root: string; files: LocalFile[] },
  options: PushOptions,
): Promise<PushBody> {
  const { settings } = await context.project()
  const { version, message, base, prune, dryRun } = options
  const git = options.git === false ? null : usableGit(context, readGit(root, context.env))
  return {
    files,
    ...{ alias: options.alias ?? settings.alias, version, message, base },
    ...{ template: options.template ?? settings.template },
    ...(prune ? { prune } : {}),
    ...(dryRun ? { dryRun } : {}),
    ...(git ? { git } : {}),
  }
}

/** A repository of SHA-256 names its commits in a way that the registry has no place for. */
function usableGit({ output }: Context, git: GitState | null): GitState | null {
  if (git === null) return null
  if (!/^[0-9a-f]{40}$/i.test(git.commit)) {
    output.note('The Git commit is not recorded: it is not named by 40 hex digits.')
    return null
  }
  const fitting = (text: string | null, max: number) => (text === null || text.length > max ? null : text)
  return { ...git, repo: fitting(git.repo, maxRepoLength), branch: fitting(git.branch, maxBranchLength) }
}
