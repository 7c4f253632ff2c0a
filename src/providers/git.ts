import { AppError, tryLater } from '../errors.js'
import { formatGitAddress, formatGitTarget, type GitAddress, readGitAddress } from '../lib/git-address.js'
import { findObjects, type GitObject, type GitTreeEntry, type LocalGit, listTree, readBlobs } from '../lib/git-objects.js'
import { createGitRepository } from '../lib/git-program.js'
import { GitConfig, isRelativePath } from './git-config.js'
import { fetchFiles, findTip, openFolder, tooManyBytes } from './git-fetch.js'
import { describeGit, type GitRemote, withGitRemote } from './git-remote.js'
import type { IgnoredFile, ListedFile, Listing, Provider, ProviderContext, ProviderLimits, Revision } from './provider.js'

const mebibyte = 1024 * 1024
const sliceBytes = 8 * mebibyte
const sliceFiles = 5_000
/** Of those that are ignored no more are named. */
const maxIgnored = 1_000

export const git: Provider<GitConfig> = {
  name: 'git',
  config: GitConfig,
  needsGlobalAdmin: false,
  target: (config) => formatGitTarget(addressOf(config)),
  check,
  list,
  read,
}

async function check(config: GitConfig, context: ProviderContext): Promise<void> {
  await withGitRemote(addressOf(config), config, context, async (remote) => {
    const tip = await findTip(remote, config.ref)
    if (!config.path && config.ref !== tip.commit) return
    const { path } = config
    await openFolder(remote, localGit(config, context), { tip, path, limits: context.limits })
  })
}

/** One request where nothing has changed; else the folders are fetched as well, and no file. */
async function list(config: GitConfig, previous: Revision | null, context: ProviderContext): Promise<Listing> {
  const address = addressOf(config)
  return withGitRemote(address, config, context, async (remote) => {
    const tip = await findTip(remote, config.ref)
    const revision = `${tip.commit} ${config.path ?? ''}`
    if (revision === previous) return { revision, unchanged: true }
    const local = localGit(config, context)
    const folder = await openFolder(remote, local, { tip, path: config.path, limits: context.limits })
    const { files, ignored } = sortEntries(await listTree(local, folder))
    if (files.length > context.limits.files) throw tooManyFiles(remote, files.length, context.limits)
    const { commit, branch } = tip
    return { revision, unchanged: false, files, ignored, commit: { repo: formatGitAddress(address), commit, branch } }
  })
}

async function* read(
  config: GitConfig,
  files: readonly ListedFile[],
  revision: Revision,
  context: ProviderContext,
): AsyncIterable<{ path: string; bytes: Buffer }> {
  if (files.length === 0) return
  await createGitRepository(context.workspace)
  const local = localGit(config, context)
  const blobs = await fetchBlobs(config, files, revision.slice(0, 40), local, context)
  checkSizes(files, blobs, context.limits)
  for (const slice of slicesOf(files, blobs)) {
    const contents = await readBlobs(
      local,
      slice.map(({ blob }) => blob),
    )
    for (const [index, bytes] of contents.entries()) yield { path: slice[index]?.file.path ?? '', bytes }
  }
}

function addressOf({ url }: GitConfig): GitAddress {
  const address = readGitAddress(url)
  if ('problem' in address) throw new AppError('source.invalid', address.problem)
  return address
}

const localGit = (config: GitConfig, context: ProviderContext): LocalGit => ({
  workspace: context.workspace,
  signal: context.signal,
  asked: describeGit(addressOf(config), config, context),
})

function sortEntries(entries: readonly GitTreeEntry[]): { files: ListedFile[]; ignored: IgnoredFile[] } {
  const files: ListedFile[] = []
  const ignored: IgnoredFile[] = []
  for (const { mode, hash, path: bytes } of entries) {
    const path = bytes.toString('utf8')
    const why = whyIgnored(mode, path, bytes)
    if (why === null) files.push({ path, hash, sizeBytes: null })
    else if (ignored.length < maxIgnored) ignored.push({ path, why })
  }
  return { files, ignored }
}

function whyIgnored(mode: string, path: string, bytes: Buffer): string | null {
  if (mode === '120000') return 'It is a symbolic link.'
  if (mode === '160000') return 'It is a submodule.'
  if (!Buffer.from(path).equals(bytes)) return 'Its name is not UTF-8.'
  return isRelativePath(path) ? null : 'Its name holds what a path cannot hold.'
}

function tooManyFiles({ asked: { name } }: GitRemote, count: number, { files }: ProviderLimits): AppError {
  return new AppError(
    'source.too_large',
    `${name} holds ${count} files, over the limit of ${files}. Give a smaller folder as \`path\`.`,
  )
}

/** What the files are, in their order: of those that are not there yet all are fetched at once. */
async function fetchBlobs(
  config: GitConfig,
  files: readonly ListedFile[],
  commit: string,
  local: LocalGit,
  context: ProviderContext,
): Promise<GitObject[]> {
  const hashes = [...new Set(files.map(({ hash }) => hash))]
  const there = new Map((await findObjects(local, hashes)).flatMap((blob) => (blob ? [[blob.hash, blob]] : [])))
  const wanted = files.filter(({ hash }) => !there.has(hash))
  if (wanted.length > 0) {
    await withGitRemote(addressOf(config), config, context, (remote) =>
      fetchFiles(remote, wanted, { commit, limits: context.limits }),
    )
    const missing = [...new Set(wanted.map(({ hash }) => hash))]
    for (const blob of await findObjects(local, missing)) if (blob) there.set(blob.hash, blob)
  }
  return files.map(({ path, hash }) => {
    const blob = there.get(hash)
    if (blob?.kind === 'blob') return blob
    throw tryLater('source.changed', `"${path}" of ${local.asked.name} is not there any more as it was listed.`, 10)
  })
}

function checkSizes(files: readonly ListedFile[], blobs: readonly GitObject[], limits: ProviderLimits): void {
  const { fileBytes, totalBytes } = limits
  let sum = 0
  for (const [index, { path }] of files.entries()) {
    const sizeBytes = blobs[index]?.sizeBytes ?? 0
    if (sizeBytes > fileBytes) {
      throw new AppError(
        'source.too_large',
        `"${path}" has ${sizeBytes} bytes, over the limit of ${fileBytes}. Make it smaller, or exclude it.`,
      )
    }
    sum += sizeBytes
    if (sum > totalBytes) throw tooManyBytes(`The files up to "${path}"`, limits)
  }
}

/** So many at once that neither programs nor memory are spent on it. */
function slicesOf(files: readonly ListedFile[], blobs: readonly GitObject[]): { file: ListedFile; blob: GitObject }[][] {
  const slices: { file: ListedFile; blob: GitObject }[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const [index, file] of files.entries()) {
    const blob = blobs[index]
    if (!blob) continue
    if (bytes + blob.sizeBytes > sliceBytes || (slices.at(-1)?.length ?? 0) >= sliceFiles) {
      slices.push([])
      bytes = 0
    }
    slices.at(-1)?.push({ file, blob })
    bytes += blob.sizeBytes
  }
  return slices
}
