import { createHash } from 'node:crypto'
import { addAbortSignal } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { z } from 'zod'
import { AppError, tryLater } from '../errors.js'
import { readTar, TarError } from '../lib/tar.js'
import { noApi } from './github-refusals.js'
import { type GitHub, jsonOf } from './github-requests.js'
import type { Tree } from './github-tree.js'
import type { ListedFile } from './provider.js'

/** What the wanted files are of: the folder is the one that their paths begin in. */
export type Origin = { commit: string; folder: string; size: Tree['size'] }

export type FileBytes = { path: string; bytes: Buffer }

type BlobBytes = { hash: string; bytes: Buffer }

/** The files by their blob: several may have the same content. */
type Wanted = Map<string, ListedFile[]>

const Blob = z.object({ content: z.string(), encoding: z.literal('base64') })

const concurrentBlobs = 6
const blobOverheadBytes = 16 * 1024
/** With a token there are 5,000 requests an hour, without one 60. */
const mostBlobs = { withToken: 30, withoutToken: 10 }
/** How much of an archive may be received for nothing to save one request. */
const bytesPerRequest = { withToken: 1024 ** 2, withoutToken: 8 * 1024 ** 2 }
const maxArchiveBytes = 128 * 1024 ** 2
/** Whatever is listed: the other side says how many files there are. */
const maxUnpackedBytes = 160 * 1024 ** 2
/** Headers, padding and long names of one file in an archive. */
const entryOverheadBytes = 6 * 1024
const archiveOverheadBytes = 1024 ** 2
/** With the line breaks that GitHub puts in, and escapes. */
const base64Ratio = 1.4
const retrySeconds = 5

/**
 * Reads files by what is cheaper: blob by blob, or from one archive of the commit. What an archive holds otherwise than it was
 * committed, as `.gitattributes` may ask for, comes as blobs after it.
 */
export async function* readFiles(github: GitHub, origin: Origin, files: readonly ListedFile[]): AsyncGenerator<FileBytes> {
  const check = createLimitCheck(github)
  for (const { path, sizeBytes } of files) check.listed(path, sizeBytes ?? 0)
  const wanted = byBlob(files)
  const answers = isArchiveCheaper(github, origin, wanted.size) ? readBoth(github, origin, wanted) : readBlobs(github, wanted)
  for await (const { hash, bytes } of answers) {
    for (const { path } of wanted.get(hash) ?? []) {
      check.read(path, bytes.length)
      yield { path, bytes }
    }
  }
}

function byBlob(files: readonly ListedFile[]): Wanted {
  const wanted: Wanted = new Map()
  for (const file of files) {
    const same = wanted.get(file.hash)
    if (same) same.push(file)
    else wanted.set(file.hash, [file])
  }
  return wanted
}

function isArchiveCheaper({ hasToken }: GitHub, { size }: Origin, blobs: number): boolean {
  const kind = hasToken ? 'withToken' : 'withoutToken'
  if (size === null || blobs <= mostBlobs[kind]) return false
  return size.bytes <= Math.min(blobs * bytesPerRequest[kind], maxArchiveBytes)
}

async function* readBoth(github: GitHub, origin: Origin, wanted: Wanted): AsyncGenerator<BlobBytes> {
  const missing = new Map(wanted)
  try {
    for await (const blob of readArchive(github, origin, missing)) {
      missing.delete(blob.hash)
      yield blob
    }
  } catch (error) {
    // Where archives come from may be closed to us, and expanding keywords may make one larger than the files it is of.
    const isOfArchives = error instanceof AppError && (error.code === 'source.blocked' || error.code === 'source.too_large')
    if (!isOfArchives) throw error
  }
  yield* readBlobs(github, missing)
}

async function* readArchive(github: GitHub, { commit, folder, size }: Origin, wanted: Wanted): AsyncGenerator<BlobBytes> {
  const { repo, context } = github
  const listedBytes = (size?.bytes ?? 0) + ((size?.files ?? 0) + 1) * entryOverheadBytes + archiveOverheadBytes
  const maxBytes = Math.min(listedBytes, maxUnpackedBytes)
  const answer = await github.ask({
    route: '/repos/{owner}/{repo}/tarball/{commit}',
    parameters: { commit },
    maxBytes,
    from: 'anywhere',
    meanings: { 404: () => replaced(repo) },
  })
  const hashes = new Map(
    [...wanted].flatMap(([hash, files]) => files.map(({ path }) => [folder ? `${folder}/${path}` : path, hash])),
  )
  const gunzip = addAbortSignal(context.signal, createGunzip({ chunkSize: 64 * 1024 }))
  gunzip.end(answer.body)
  try {
    const wants = (path: string, sizeBytes: number) => hashes.has(withoutTop(path)) && sizeBytes <= context.limits.fileBytes
    for await (const { path, bytes } of readTar(capped(gunzip, maxBytes, repo), { wants })) {
      const hash = hashes.get(withoutTop(path)) ?? ''
      // One blob may be the content of several files.
      if (wanted.has(hash) && hashOfBlob(bytes) === hash) yield { hash, bytes }
    }
  } catch (error) {
    throw archiveFailure(error, github)
  } finally {
    gunzip.destroy()
  }
}

function archiveFailure(error: unknown, { repo, context }: GitHub): unknown {
  if (error instanceof AppError) return error

  if (context.signal.aborted) {
    return tryLater('source.unreachable', `The archive of "${repo}" was not read to the end: the call was stopped.`, retrySeconds)
  }
  const isDamage = error instanceof TarError || (error as NodeJS.ErrnoException).code?.startsWith('Z_')
  if (!isDamage) return error
  return tryLater('source.unreachable', `The archive of "${repo}" came damaged. Try again.`, retrySeconds, error)
}

async function* capped(chunks: AsyncIterable<Buffer>, maxBytes: number, repo: string): AsyncGenerator<Buffer> {
  let received = 0
  for await (const chunk of chunks) {
    received += chunk.length
    if (received > maxBytes) {
      throw new AppError('source.too_large', `The archive of "${repo}" holds more than the files that are listed.`)
    }
    yield chunk
  }
}

/** All of an archive is in one folder, which is named after the commit. */
function withoutTop(path: string): string {
  return path.slice(path.indexOf('/') + 1)
}

async function* readBlobs(github: GitHub, wanted: Wanted): AsyncGenerator<BlobBytes> {
  const blobs = [...wanted].flatMap(([hash, [file]]) => (file ? [{ hash, file }] : []))
  yield* inParallel(blobs, concurrentBlobs, github.context.signal, async ({ hash, file }, signal) => ({
    hash,
    bytes: await readBlob(github, file, signal),
  }))
}

async function readBlob(github: GitHub, { path, hash, sizeBytes }: ListedFile, signal: AbortSignal): Promise<Buffer> {
  const { repo, context } = github
  const answer = await github.ask({
    route: '/repos/{owner}/{repo}/git/blobs/{hash}',
    parameters: { hash },
    what: path,
    maxBytes: Math.ceil((sizeBytes ?? context.limits.fileBytes) * base64Ratio) + blobOverheadBytes,
    signal,
    meanings: { 404: () => replaced(repo), 409: () => replaced(repo), 422: () => replaced(repo) },
  })
  const { success, data } = Blob.safeParse(jsonOf(answer, repo))
  if (!success) throw noApi(repo)
  const bytes = Buffer.from(data.content, 'base64')
  if (hashOfBlob(bytes) === hash) return bytes
  throw tryLater(
    'source.changed',
    `"${path}" of "${repo}" came with other bytes than those that were listed. Try again.`,
    retrySeconds,
  )
}

/** The name that Git gives to bytes. */
export function hashOfBlob(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
}

/**
 * Works on so many items at once, and gives the results in the order of the items. When one fails, or no more are wanted, the
 * others are ended by their signal and waited for.
 */
async function* inParallel<Item, Result>(
  items: readonly Item[],
  concurrent: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
): AsyncGenerator<Result> {
  const ending = new AbortController()
  const either = AbortSignal.any([signal, ending.signal])
  const running: Promise<Result>[] = []
  const waiting = items.values()
  try {
    while (true) {
      while (running.length < concurrent) {
        const { done, value } = waiting.next()
        if (done) break
        const result = work(value, either)
        // Whoever reads the results meets the error; until then it is no unhandled one.
        result.catch(() => undefined)
        running.push(result)
      }
      const first = running.shift()
      if (!first) return
      yield await first
    }
  } finally {
    ending.abort()
    await Promise.allSettled(running)
  }
}

function replaced(repo: string): AppError {
  return tryLater('source.changed', `A commit of "${repo}" was removed while it was read. Try again.`, retrySeconds)
}

type LimitCheck = { listed(path: string, sizeBytes: number): void; read(path: string, sizeBytes: number): void }

/** Sizes are checked as they are listed, before anything is fetched, and as they come. */
function createLimitCheck({ repo, context: { limits } }: GitHub): LimitCheck {
  const counter = () => {
    let total = 0
    return (path: string, sizeBytes: number) => {
      total += sizeBytes
      if (sizeBytes > limits.fileBytes) {
        throw new AppError('source.too_large', `"${path}" of "${repo}" has ${sizeBytes} bytes; ${limits.fileBytes} are allowed.`)
      }
      if (total > limits.totalBytes) {
        throw new AppError(
          'source.too_large',
          `"${path}" of "${repo}" and those before it have over ${limits.totalBytes} bytes together.`,
        )
      }
    }
  }
  return { listed: counter(), read: counter() }
}
