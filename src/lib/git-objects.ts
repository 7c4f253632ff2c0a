import { AppError, tryLater } from '../errors.js'
import { type AskedGit, explainGitFailure } from './git-failures.js'
import { runGit } from './git-program.js'

/** A repository on this machine, as `createGitRepository` makes it, and where its objects came from. */
export type LocalGit = { workspace: string; signal: AbortSignal; asked: AskedGit }

export type GitObject = { hash: string; kind: string; sizeBytes: number }

/** `kind` is the six digits of its mode. */
export type GitTreeEntry = { mode: string; hash: string; path: Buffer }

/** What is done here alone is quick, if it is not made to be slow. */
const localTimeoutMs = 20_000
const maxVersionBytes = 1024
const maxListingBytes = 64 * 1024 * 1024
const tab = 0x09

/** Refuses versions that would leave out, without a word, the settings that bind them to an address and to an environment. */
export async function requireGit(git: LocalGit): Promise<void> {
  const output = await runLocally(git, ['version'], maxVersionBytes)
  const [version = 'unknown', major, minor] = /(\d+)\.(\d+)[\w.]*/.exec(output.toString('utf8')) ?? []
  if (Number(major) * 1000 + Number(minor) >= 2_037) return
  throw tryLater('source.unreachable', `The version of Git here is ${version}. Have 2.37 or a newer one installed.`, 60)
}

/** What the names mean, in their order; null for what is not there. Nothing is fetched. */
export async function findObjects(git: LocalGit, names: readonly string[]): Promise<(GitObject | null)[]> {
  const maxOutputBytes = names.reduce((sum, name) => sum + Buffer.byteLength(name) + 100, 0)
  const output = await runLocally(git, ['cat-file', '--batch-check'], maxOutputBytes, names)
  const lines = output.toString('utf8').split('\n')
  return names.map((_, index) => {
    const [hash, kind, size] = /^([0-9a-f]{40}) (\w+) (\d+)$/.exec(lines[index] ?? '')?.slice(1) ?? []
    return hash === undefined || kind === undefined ? null : { hash, kind, sizeBytes: Number(size) }
  })
}

/** All that is in a tree and in those below it. */
export async function listTree(git: LocalGit, tree: string): Promise<GitTreeEntry[]> {
  const output = await runLocally(git, ['ls-tree', '-r', '-z', '--full-tree', tree], maxListingBytes)
  const entries: GitTreeEntry[] = []
  for (let start = 0; start < output.length; ) {
    const end = output.indexOf(0, start)
    const nameAt = output.indexOf(tab, start) + 1
    const [mode = '', , hash = ''] = output.toString('latin1', start, nameAt - 1).split(' ')
    entries.push({ mode, hash, path: output.subarray(nameAt, end) })
    start = end + 1
  }
  return entries
}

/** The bytes of blobs that are there, in their order. */
export async function readBlobs(git: LocalGit, blobs: readonly GitObject[]): Promise<Buffer[]> {
  const maxOutputBytes = blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes + 100, 0)
  const hashes = blobs.map(({ hash }) => hash)
  const output = await runLocally(git, ['cat-file', '--batch'], maxOutputBytes, hashes)
  let start = 0
  return blobs.map(({ sizeBytes }) => {
    const bytesAt = output.indexOf('\n', start) + 1
    start = bytesAt + sizeBytes + 1
    return output.subarray(bytesAt, bytesAt + sizeBytes)
  })
}

async function runLocally(git: LocalGit, args: string[], maxOutputBytes: number, input: readonly string[] = []): Promise<Buffer> {
  const lines = input.map((line) => `${line}\n`).join('')
  const { workspace, signal, asked } = git
  const result = await runGit({ workspace, signal, args, input: lines, timeoutMs: localTimeoutMs, maxOutputBytes })
  if (result.end === 'done') return result.output
  if (result.end !== 'timeout' && result.end !== 'overflow') throw explainGitFailure(result, asked)
  throw new AppError('source.too_large', `${asked.name} holds more than can be listed. Give a smaller folder as \`path\`.`)
}
