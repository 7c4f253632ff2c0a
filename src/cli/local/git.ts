import { execFileSync } from 'node:child_process'
import { CliError } from '../exit-codes.js'

/** Where a push comes from, as the registry keeps it. */
export type GitState = { repo: string | null; commit: string; branch: string | null; dirty: boolean }

const gitTimeoutMs = 10_000
const maxOutputBytes = 16 * 1024 ** 2

/** What git answers, without the last line break; null where it fails: no git, no repository, no such thing in it. */
export function askGit(cwd: string, args: readonly string[]): string | null {
  try {
    const options = { cwd, encoding: 'utf8', timeout: gitTimeoutMs, maxBuffer: maxOutputBytes } as const
    return execFileSync('git', [...args], { ...options, stdio: ['ignore', 'pipe', 'ignore'] }).replace(/\r?\n$/, '')
  } catch (error) {
    const { status, code } = error as { status?: number | null; code?: string }
    if (typeof status === 'number' || code === 'ENOENT' || code === 'ENOTDIR') return null
    throw new CliError(`git ${args[0]} failed in ${cwd}: ${(error as Error).message}`, { cause: error })
  }
}

/** The folder that holds the repository; null outside of one. */
export function gitRoot(cwd: string): string | null {
  return askGit(cwd, ['rev-parse', '--show-toplevel'])
}

/** The address of the remote, without a user or password; null without one. */
export function gitRemote(cwd: string): string | null {
  const name = (askGit(cwd, ['remote']) ?? '').split('\n')
  const remote = name.includes('origin') ? 'origin' : name[0]
  const url = remote ? askGit(cwd, ['remote', 'get-url', remote]) : null
  return url === null ? null : withoutCredentials(url)
}

/** `https://user:password@host/path` without what stands before the `@`. The user of `git@host:path` is no secret. Pure. */
export function withoutCredentials(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1')
}

/**
 * Commit, branch, remote and whether `paths` differ from the commit. CI systems check out a commit without a branch and tell
 * its name by variables. Null where there is no repository, or no commit yet.
 */
export function readGit(cwd: string, env: NodeJS.ProcessEnv): GitState | null {
  const commit = askGit(cwd, ['rev-parse', '--verify', '--quiet', 'HEAD'])
  if (commit === null) return null
  const branch = askGit(cwd, ['symbolic-ref', '--quiet', '--short', 'HEAD']) ?? branchOfCi(env)
  const changes = askGit(cwd, ['status', '--porcelain', '--', '.'])
  return { repo: gitRemote(cwd), commit, branch, dirty: changes !== null && changes !== '' }
}

function branchOfCi(env: NodeJS.ProcessEnv): string | null {
  return (
    env.GITHUB_HEAD_REF || env.GITHUB_REF_NAME || env.CI_COMMIT_REF_NAME || env.BITBUCKET_BRANCH || env.BUILDKITE_BRANCH || null
  )
}
