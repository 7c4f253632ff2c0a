import { constants, type Dirent, type Stats } from 'node:fs'
import { type FileHandle, lstat, open, opendir, realpath } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import { z } from 'zod'
import { AppError, tryLater } from '../errors.js'
import { inParallel } from '../lib/parallel.js'
import { pathProblem } from '../lib/relative-path.js'
import { within } from '../lib/within.js'
import { digestOf, sha256 } from './digests.js'
import type { IgnoredFile, ListedFile, Provider, ProviderContext } from './provider.js'

type FileConfig = z.infer<typeof FileConfig>
type Found = { paths: string[]; ignored: IgnoredFile[] }
/** What is looked at, and what it means where it is not there. */
type Place = { path: string; whenGone: 'source.missing' | 'source.changed' }

const atOnce = 6
const maxDepth = 64
const maxIgnored = 1_000
/** Folders and files that are left out are looked at as well, and so many of them for each file that may be listed. */
const maxEntriesPerFile = 10

const FileConfig = z.strictObject({
  directory: z
    .string()
    .min(1)
    .max(1_000)
    .refine((directory) => isAbsolute(directory) && !directory.includes('\0'), 'Give an absolute path.')
    .refine((directory) => !directory.split(sep).includes('..'), 'Give a path without "..".')
    .describe('An absolute directory, which lies in one of those of `PROMPTSYNC_FILE_ROOTS`.'),
})

/** The files of a directory on the machine of the server, as far as they lie under the directories that are opened to it. */
export const file: Provider<FileConfig> = {
  name: 'file',
  config: FileConfig,
  needsGlobalAdmin: true,
  target: ({ directory }) => directory,

  check: (config, context) => noted(config, context, async () => void (await findDirectory(config, context))),

  list: (config, previous, context) =>
    noted(config, context, async () => {
      const directory = await findDirectory(config, context)
      const { paths, ignored } = await findPaths(directory, context)
      const files = await inParallel(paths, { atOnce, signal: context.signal }, (path) => listFile(directory, path, context))
      const revision = digestOf(files)
      if (revision === previous) return { revision, unchanged: true as const }
      return { revision, unchanged: false as const, files, ignored, commit: null }
    }),

  async *read(config, files, _revision, context) {
    const call = startCall(config, context)
    try {
      const directory = await findDirectory(config, context)
      let leftBytes = context.limits.totalBytes
      for (let start = 0; start < files.length; start += atOnce) {
        const some = files.slice(start, start + atOnce)
        const read = (listed: ListedFile) => readListed(directory, listed, context)
        for (const { path, bytes } of await inParallel(some, { atOnce, signal: context.signal }, read)) {
          leftBytes -= bytes.length
          if (leftBytes < 0) throw tooLarge(path, context)
          yield { path, bytes }
        }
      }
    } catch (error) {
      throw call.failed(error)
    } finally {
      call.end()
    }
  },
}

/** The directory without symbolic links. Nothing is told of what lies outside of the directories that are open. */
async function findDirectory({ directory }: FileConfig, context: ProviderContext): Promise<string> {
  const outside = () =>
    new AppError(
      'source.blocked',
      `The directory "${directory}" is not under one that may be read. Have it added to \`PROMPTSYNC_FILE_ROOTS\`.`,
    )
  const real = (path: string) => onDisk(context, { path, whenGone: 'source.missing' }, () => realpath(path))
  const roots = context.fileRoots.filter((root) => contains(resolve(root), resolve(directory)))
  if (roots.length === 0) throw outside()
  const found = await real(directory)
  // One that is not there has nothing in it.
  const realRoots = await Promise.all(context.fileRoots.map((root) => real(root).catch(() => null)))
  if (!realRoots.some((root) => root !== null && contains(root, found))) throw outside()
  const stats = await onDisk(context, { path: directory, whenGone: 'source.missing' }, () => lstat(found))
  if (!stats.isDirectory()) throw new AppError('source.invalid', `"${directory}" is a file. Give the directory that it is in.`)
  return found
}

function contains(root: string, path: string): boolean {
  const inner = relative(root, path)
  return inner === '' || (inner !== '..' && !inner.startsWith(`..${sep}`) && !isAbsolute(inner))
}

/** The files below a directory in the order of their paths, but for folders whose name begins with a dot. */
async function findPaths(directory: string, context: ProviderContext): Promise<Found> {
  const { files } = context.limits
  const found: Found = { paths: [], ignored: [] }
  const waiting = ['']
  let left = files * maxEntriesPerFile
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const place: Place = { path: folder || directory, whenGone: 'source.changed' }
    const whole = join(directory, folder)
    for (const entry of await onDisk(context, place, () => readFolder(whole, left))) {
      left -= 1
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      const why = ignoredReason(entry, path)
      if (why !== null && found.ignored.length < maxIgnored) found.ignored.push({ path, why })
      if (why !== null) continue
      if (entry.isFile()) found.paths.push(path)
      else if (!entry.name.startsWith('.')) waiting.push(path)
      if (left <= 0 || found.paths.length > files) throw tooMany(path, context)
    }
  }
  return { ...found, paths: found.paths.sort() }
}

async function readFolder(folder: string, atMost: number): Promise<Dirent[]> {
  const entries: Dirent[] = []
  for await (const entry of await opendir(folder, { bufferSize: 256 })) {
    entries.push(entry)
    if (entries.length >= atMost) break
  }
  return entries
}

function ignoredReason(entry: Dirent, path: string): string | null {
  if (entry.isSymbolicLink()) return 'it is a symbolic link, which is not followed'
  if (!entry.isFile() && !entry.isDirectory()) return 'it is neither a file nor a folder'
  if (path.split('/').length > maxDepth) return `it is over ${maxDepth} folders deep`
  return pathProblem(path)
}

/** What is too large to be taken is listed by its time: whether it is to be taken is not known yet. */
async function listFile(directory: string, path: string, context: ProviderContext): Promise<ListedFile> {
  return withFile(directory, path, context, async (handle, { size, mtimeMs, ino }) => {
    if (size > context.limits.fileBytes) return { path, hash: `unread-${ino}-${size}-${mtimeMs}`, sizeBytes: size }
    return { path, hash: sha256(await readWhole(handle, path, size)), sizeBytes: size }
  })
}

async function readListed(directory: string, { path, hash }: ListedFile, context: ProviderContext) {
  return withFile(directory, path, context, async (handle, { size }) => {
    if (size > context.limits.fileBytes) throw tooLarge(path, context)
    const bytes = await readWhole(handle, path, size)
    if (sha256(bytes) !== hash) throw changed(path)
    return { path, bytes }
  })
}

/**
 * Opens a file of a listing. A folder on the way may have become a symbolic link meanwhile, so what was opened has to be what
 * the path leads to without any; and a pipe would have the opening wait.
 */
async function withFile<T>(
  directory: string,
  path: string,
  context: ProviderContext,
  work: (handle: FileHandle, stats: Stats) => Promise<T>,
): Promise<T> {
  const whole = join(directory, path)
  return onDisk(context, { path, whenGone: 'source.changed' }, async () => {
    const handle = await open(whole, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const [opened, named, real] = await Promise.all([handle.stat(), lstat(whole), realpath(whole)])
      const isSame = real === whole && opened.isFile() && opened.ino === named.ino && opened.dev === named.dev
      if (!isSame) throw changed(path)
      return await work(handle, opened)
    } finally {
      await handle.close()
    }
  })
}

async function readWhole(handle: FileHandle, path: string, sizeBytes: number): Promise<Buffer> {
  // One byte more than there is tells whether the file grew: what is read stays short of it.
  const bytes = Buffer.alloc(sizeBytes + 1)
  let length = 0
  for (let read = -1; length < sizeBytes && read !== 0; length += read) {
    read = (await handle.read(bytes, length, bytes.length - length, length)).bytesRead
  }
  if (length !== sizeBytes) throw changed(path)
  return bytes.subarray(0, length)
}

/** A disk may be one of another machine, and not answer. */
async function onDisk<T>(
  { signal, requestTimeoutMs }: ProviderContext,
  { path, whenGone }: Place,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)])
  try {
    return await within(deadline, work)
  } catch (error) {
    if (error instanceof AppError) throw error
    const { code } = error as NodeJS.ErrnoException
    const isGone = code === 'ENOENT' || code === 'ENOTDIR'
    if (code === 'ELOOP' || (isGone && whenGone === 'source.changed')) throw changed(path)
    if (isGone) throw new AppError('source.missing', `"${path}" is not there. Check the directory.`)
    if (code === 'EACCES' || code === 'EPERM') {
      throw new AppError('source.denied', `"${path}" cannot be read: the server lacks the permission. Give it to its user.`)
    }
    const why = deadline.aborted ? 'in time' : `(${code ?? 'unknown'})`
    throw tryLater('source.unreachable', `"${path}" could not be read ${why}.`, 60, error)
  }
}

async function noted<T>(config: FileConfig, context: ProviderContext, work: () => Promise<T>): Promise<T> {
  const call = startCall(config, context)
  try {
    return await work()
  } catch (error) {
    throw call.failed(error)
  } finally {
    call.end()
  }
}

function startCall({ directory }: FileConfig, { note }: ProviderContext) {
  const started = performance.now()
  let failure: string | null = null
  return {
    failed: (error: unknown) => {
      failure = error instanceof Error ? error.message : String(error)
      return error
    },
    end: () => note({ what: directory, statusCode: null, durationMs: Math.round(performance.now() - started), error: failure }),
  }
}

function changed(path: string): AppError {
  return tryLater('source.changed', `File "${path}" was changed while it was read. Sync again.`, 1)
}

function tooLarge(path: string, { limits }: ProviderContext): AppError {
  return new AppError(
    'source.too_large',
    `File "${path}" is too large: a file may have ${limits.fileBytes} bytes, and all of them ${limits.totalBytes}. Split or exclude it.`,
  )
}

function tooMany(path: string, { limits }: ProviderContext): AppError {
  return new AppError(
    'source.too_large',
    `The directory holds more than ${limits.files} files, "${path}" for one. Give a smaller directory.`,
  )
}
