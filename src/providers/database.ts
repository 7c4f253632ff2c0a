import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { AppError, tryLater } from '../errors.js'
import { askDatabase, type Batches, type Question, type Row } from './database-session.js'
import { type DatabasePlace, nameOfPlace, parseDatabaseUrl } from './database-url.js'
import { type ListedFile, type Listing, type Provider, type ProviderContext, type Revision, secret } from './provider.js'

type Config = z.infer<typeof Config>

const maxPathLength = 1_000
const diskRetrySeconds = 60

const Config = z.strictObject({
  url: secret(
    z
      .string()
      .max(2_000)
      .check(({ value, issues }) => {
        const place = parseDatabaseUrl(value)
        if (typeof place === 'string') issues.push({ code: 'custom', message: place, input: value })
      })
      .meta({
        description:
          'The database: `postgres://user:password@host:5432/database?sslmode=verify-full`. Use a user that may read what the query names, and nothing else.',
      }),
  ),
  query: z
    .string()
    .min(1)
    .max(20_000)
    .refine((text) => !text.includes('\0'), 'Leave out the NUL character.')
    .meta({ description: 'One SELECT that gives the columns `path` (text) and `content` (text or bytea), a row for each file.' }),
  certificateAuthority: z
    .string()
    .max(64 * 1024)
    .refine((text) => text.includes('-----BEGIN CERTIFICATE-----'), 'Give a certificate in PEM: -----BEGIN CERTIFICATE-----.')
    .meta({
      description: 'The certificate of the authority that signed the one of the server, in PEM, if it is one of your own.',
    })
    .optional(),
})

/** The rows of a read-only query on a Postgres of others. */
export const database: Provider<Config> = {
  name: 'database',
  config: Config,
  needsGlobalAdmin: true,
  target: ({ url }) => nameOfPlace(placeOf(url)),
  check,
  list,
  read,
}

/** Only the first rows are looked at. */
async function check(config: Config, context: ProviderContext): Promise<void> {
  await askDatabase(questionOf(config), context, async (batches) => {
    for await (const rows of batches) {
      for (const row of rows) checkRow(row)
      return
    }
  })
}

/** There is no telling whether rows have changed but to read them. What was read is kept for `read`. */
async function list(config: Config, previous: Revision | null, context: ProviderContext): Promise<Listing> {
  const files = await collect(config, context)
  const revision = revisionOf(files)
  if (revision === previous) return { revision, unchanged: true }
  return { revision, unchanged: false, files, ignored: [], commit: null }
}

async function* read(config: Config, files: readonly ListedFile[], _revision: Revision, context: ProviderContext) {
  let totalBytes = 0
  let isReadAgain = false
  for (const { path, hash, sizeBytes } of files) {
    checkSize(path, sizeBytes ?? 0, context)
    let bytes = await findKept(hash, context)
    if (!bytes && !isReadAgain) {
      await collect(config, context)
      isReadAgain = true
      bytes = await findKept(hash, context)
    }
    if (!bytes) throw new AppError('source.changed', `"${path}" is not in the database any more as it was listed. Sync again.`)
    totalBytes += bytes.length
    checkTotal(path, totalBytes, context)
    yield { path, bytes }
  }
}

function questionOf({ url, query, certificateAuthority }: Config): Question {
  return { place: placeOf(url), query, authority: certificateAuthority }
}

function placeOf(url: string): DatabasePlace {
  const place = parseDatabaseUrl(url)
  if (typeof place === 'string') throw new AppError('source.invalid', `The URL of the database is not valid. ${place}`)
  return place
}

/** All files there are, by path. Those that are not too large are put into the workspace, under their hashes. */
async function collect(config: Config, context: ProviderContext): Promise<ListedFile[]> {
  const files = await askDatabase(questionOf(config), context, (batches) => keepAll(batches, context))
  return [...files.values()].sort(({ path: one }, { path: other }) => (one < other ? -1 : 1))
}

async function keepAll(batches: Batches, context: ProviderContext): Promise<Map<string, ListedFile>> {
  const { limits, workspace } = context
  const files = new Map<string, ListedFile>()
  let totalBytes = 0
  for await (const rows of batches) {
    const kept = new Map<string, Buffer>()
    for (const row of rows) {
      const { path, content } = checkRow(row)
      if (files.has(path)) throw new AppError('source.invalid', `The query gives "${path}" twice. Have it give each path once.`)
      const hash = hashOf(content)
      files.set(path, { path, hash, sizeBytes: content.length })
      if (files.size > limits.files) throw tooMany(limits.files)
      totalBytes += content.length
      checkTotal(path, totalBytes, context)
      if (content.length <= limits.fileBytes) kept.set(hash, content)
    }
    await Promise.all([...kept].map(([hash, content]) => keep(workspace, hash, content)))
  }
  return files
}

function checkRow({ path, content }: Row): { path: string; content: Buffer } {
  if (path === null) throw new AppError('source.invalid', 'A row has no path: it is NULL. Have the query leave it out.')
  const shown = JSON.stringify(path.slice(0, 100))
  if (path.length > maxPathLength || /^\/|\\|(^|\/)\.{0,2}(\/|$)/.test(path)) {
    throw new AppError(
      'source.invalid',
      `${shown} is no path of a file. Have the query give relative ones of at most ${maxPathLength} characters, separated by "/", without "." and "..".`,
    )
  }
  if (content === null) throw new AppError('source.invalid', `${shown} has no content: it is NULL. Have the query leave it out.`)
  return { path, content }
}

function checkSize(path: string, sizeBytes: number, { limits }: ProviderContext): void {
  if (sizeBytes <= limits.fileBytes) return
  throw new AppError('source.too_large', `"${path}" has ${sizeBytes} bytes, more than ${limits.fileBytes}. Make it smaller.`)
}

function checkTotal(path: string, totalBytes: number, { limits }: ProviderContext): void {
  if (totalBytes <= limits.totalBytes) return
  throw new AppError('source.too_large', `With "${path}" the files have more than ${limits.totalBytes} bytes. Narrow the query.`)
}

function tooMany(files: number): AppError {
  return new AppError('source.too_large', `The query gives more than ${files} rows. Narrow it.`)
}

async function keep(workspace: string, hash: string, content: Buffer): Promise<void> {
  await writeFile(join(workspace, hash), content).catch((error: Error) => {
    throw noDisk(error)
  })
}

/** What `list` left; null where it did not. */
async function findKept(hash: string, { workspace }: ProviderContext): Promise<Buffer | null> {
  const bytes = await readFile(join(workspace, hash)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw noDisk(error)
  })
  return bytes && hashOf(bytes) === hash ? bytes : null
}

function noDisk(error: Error): AppError {
  return tryLater('source.unreachable', 'What was read could not be kept on the disk of this instance.', diskRetrySeconds, error)
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** Of the paths and their contents, in the order of the paths. */
function revisionOf(files: readonly ListedFile[]): Revision {
  return hashOf(Buffer.from(JSON.stringify(files.map(({ path, hash }) => [path, hash]))))
}
