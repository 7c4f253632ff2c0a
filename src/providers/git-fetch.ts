import { AppError, tryLater } from '../errors.js'
import { isRefusedHash } from '../lib/git-failures.js'
import { findObjects, type LocalGit } from '../lib/git-objects.js'
import { didYouMean } from '../lib/suggest.js'
import type { GitAnswer, GitRemote } from './git-remote.js'
import type { ListedFile, ProviderLimits } from './provider.js'

/** What a name of the other side stands for: `name` is that of a branch or tag, in full. */
export type Tip = { commit: string; branch: string | null; name: string | null }

const fullHash = /^[0-9a-f]{40}$/
const mebibyte = 1024 * 1024
const branchListBytes = mebibyte
/** Of folders and their names alone. */
const folderPackBytes = 64 * mebibyte
const filesPerRequest = 10_000
const fetchArgs = ['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--no-auto-maintenance', '--recurse-submodules=no']

/** By the older protocol, in which the names come with the first answer: it costs one request, where the newer one takes two. */
export async function findTip(remote: GitRemote, ref: string | undefined): Promise<Tip> {
  if (ref !== undefined && fullHash.test(ref)) return { commit: ref, branch: null, name: null }
  const patterns = ref === undefined ? [] : [`refs/heads/${ref}`, `refs/tags/${ref}`, `refs/tags/${ref}^{}`]
  const { error, output } = await remote.ask({
    what: `the commit of ${ref ?? 'the default branch'}`,
    args: ['ls-remote', '--symref', 'origin', 'HEAD', ...patterns],
    settings: { 'protocol.version': '0' },
  })
  if (error) throw error
  const { hashes, defaultBranch } = parseRefs(output)
  const [branch, tag, peeled] = patterns.map((name) => hashes.get(name))
  if (branch !== undefined) return { commit: branch, branch: ref ?? null, name: `refs/heads/${ref}` }
  const commit = ref === undefined ? hashes.get('HEAD') : (peeled ?? tag)
  if (commit === undefined) throw await noSuchRef(remote, ref, defaultBranch)
  if (ref !== undefined) return { commit, branch: null, name: `refs/tags/${ref}` }
  return { commit, branch: defaultBranch, name: 'HEAD' }
}

function parseRefs(output: Buffer): { hashes: Map<string, string>; defaultBranch: string | null } {
  const hashes = new Map<string, string>()
  let defaultBranch: string | null = null
  for (const line of output.toString('utf8').split('\n')) {
    const [value = '', name = ''] = line.split('\t')
    if (value.startsWith('ref: refs/heads/') && name === 'HEAD') defaultBranch = value.slice('ref: refs/heads/'.length)
    else if (fullHash.test(value)) hashes.set(name, value)
    else if (/^[0-9a-f]{64}$/.test(value)) {
      throw new AppError(
        'source.invalid',
        'The repository names its objects by SHA-256, which is not supported. Use one with SHA-1.',
      )
    }
  }
  return { hashes, defaultBranch }
}

async function noSuchRef(remote: GitRemote, ref: string | undefined, defaultBranch: string | null): Promise<AppError> {
  const { name } = remote.asked
  const { error, output } = await remote.ask({
    what: 'the names of the branches',
    args: ['ls-remote', '--heads', 'origin'],
    maxOutputBytes: branchListBytes,
  })
  if (error && error.code !== 'source.too_large') return error
  const branches = [...parseRefs(output).hashes.keys()].map((branch) => branch.replace(/^refs\/heads\//, ''))
  if (branches.length === 0) {
    return new AppError(
      'source.invalid',
      `${name} holds no branch so far, or is no Git repository. Push a commit, or check the address.`,
    )
  }
  if (ref === undefined) {
    return new AppError('source.missing', `${name} has no default branch. Give one as \`ref\`: "${branches[0]}" say.`)
  }
  const guess = didYouMean(ref, branches) || (defaultBranch === null ? '' : ` Did you mean "${defaultBranch}"?`)
  return new AppError('source.missing', `${name} has no branch or tag "${ref}".${guess}`)
}

/** The hash of the folder that is to be listed. What is below it is fetched, unless it is there; but no files. */
export async function openFolder(
  remote: GitRemote,
  local: LocalGit,
  { tip, path, limits }: { tip: Tip; path: string | undefined; limits: ProviderLimits },
): Promise<string> {
  const { name } = remote.asked
  const names = [`${tip.commit}^{tree}`, ...(path ? [`${tip.commit}:${path}`] : [])]
  const there = await findObjects(local, names)
  if (!there[0]) await fetchCommit(remote, tip, limits)
  const [root, folder = root] = there[0] ? there : await findObjects(local, names)
  if (!root)
    throw new AppError('source.invalid', `${tip.commit} is no commit of ${name}. Give a branch, a tag or a commit as \`ref\`.`)
  // Of a file there is nothing here that could tell that it is one.
  if (folder?.kind !== 'tree') {
    throw new AppError('source.missing', `${name} has no folder "${path}". Check \`path\`, upper and lower case too.`)
  }
  return folder.hash
}

/** Older servers give no more than what a name stands for, and not by the hash of what a tag is of. */
async function fetchCommit(remote: GitRemote, tip: Tip, limits: ProviderLimits): Promise<void> {
  const ask = (wanted: string) =>
    remote.ask({
      what: `the folders of commit ${tip.commit.slice(0, 12)}`,
      args: [...fetchArgs, '--depth=1', '--filter=blob:none', 'origin', wanted],
      maxFileBytes: wholePackBytes(limits),
    })
  const answer = await ask(tip.commit)
  if (!isRefusedHash(answer)) return throwIfFailed(answer)
  if (tip.name === null) throw noSuchCommit(remote, tip)
  const byName = await ask(tip.name)
  if (isRefusedHash(byName)) throw noSuchCommit(remote, tip)
  throwIfFailed(byName)
}

/** A server that cannot leave files out sends everything that a commit holds, whether it is wanted or not. */
const wholePackBytes = ({ totalBytes }: ProviderLimits) => folderPackBytes + 4 * totalBytes

function throwIfFailed({ error }: GitAnswer): void {
  if (error) throw error
}

function noSuchCommit({ asked: { name } }: GitRemote, { commit, branch }: Tip): AppError {
  if (branch !== null)
    return tryLater('source.changed', `Branch "${branch}" of ${name} was moved while it was read. Try again.`, 10)
  return new AppError(
    'source.missing',
    `${name} does not hand out commit ${commit}. Check that it is there and belongs to a branch, or give a branch or tag.`,
  )
}

/**
 * Fetches files by their hashes, thousands in one request. A server that does not give them so is asked for the whole commit.
 * A pack over `limits.totalBytes` is refused as soon as that is seen.
 */
export async function fetchFiles(
  remote: GitRemote,
  files: readonly ListedFile[],
  { commit, limits }: { commit: string; limits: ProviderLimits },
): Promise<void> {
  for (let start = 0; start < files.length; start += filesPerRequest) {
    const batch = files.slice(start, start + filesPerRequest)
    const what = batch.length === 1 ? (batch[0]?.path ?? '') : `${batch.length} files`
    const answer = await remote.ask({
      what,
      args: [...fetchArgs, '--filter=blob:none', '--stdin', 'origin'],
      input: batch.map(({ hash }) => `${hash}\n`).join(''),
      // Compressed they are smaller; what cannot be compressed grows by less than this.
      maxFileBytes: mebibyte + Math.ceil(limits.totalBytes * 1.02),
    })
    if (isRefusedHash(answer)) return fetchWholeCommit(remote, commit, limits)
    if (answer.error?.code === 'source.too_large') throw tooManyBytes(what, limits)
    throwIfFailed(answer)
  }
}

async function fetchWholeCommit(remote: GitRemote, commit: string, limits: ProviderLimits): Promise<void> {
  const answer = await remote.ask({
    what: `all files of commit ${commit.slice(0, 12)}`,
    args: [...fetchArgs, '--depth=1', '--refetch', '--no-filter', 'origin', commit],
    settings: { 'remote.origin.promisor': 'false' },
    maxFileBytes: wholePackBytes(limits),
  })
  if (isRefusedHash(answer)) {
    throw tryLater('source.changed', `Commit ${commit} of ${remote.asked.name} was replaced while it was read. Try again.`, 10)
  }
  throwIfFailed(answer)
}

export function tooManyBytes(what: string, { totalBytes }: ProviderLimits): AppError {
  return new AppError(
    'source.too_large',
    `${what}: more than the limit of ${totalBytes} bytes. Take fewer files, or smaller ones.`,
  )
}
