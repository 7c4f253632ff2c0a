import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { AppError, tryLater } from '../errors.js'
import { isReservedField, type OutboundAnswer } from '../lib/outbound.js'
import { inParallel } from '../lib/parallel.js'
import { pathProblem } from '../lib/relative-path.js'
import { sha256 } from './digests.js'
import { type ManifestFile, parseManifest } from './http-manifest.js'
import { findKnown, type Known, readRevision, validatorsOf, writeRevision } from './http-revision.js'
import { type ListedFile, type Provider, type ProviderContext, secret } from './provider.js'

type HttpConfig = z.infer<typeof HttpConfig>
type Asked = { what: string; url: string; headers?: Record<string, string>; maxBytes: number; signal: AbortSignal }

const atOnce = 6
const maxManifestBytes = 2 * 1024 * 1024
const maxUrlLength = 2_000
const maxFields = 20
/** It lists where the files are, for `read`: no file is called so, since those are called by their hash. */
const indexFile = 'manifest.json'

const HttpUrl = z
  .string()
  .max(maxUrlLength)
  .superRefine((text, { addIssue }) => {
    const issue = (message: string) => addIssue({ code: 'custom', message })
    if (!URL.canParse(text)) return issue('Give a whole URL, https://example.com/prompt.md say.')
    const { protocol, username, password, hash } = new URL(text)
    if (protocol !== 'https:' && protocol !== 'http:') issue('Give a URL that begins with https://.')
    if (username !== '' || password !== '') issue('Leave user and password out of the URL, and give them in `headers`.')
    if (hash !== '') issue('Leave out what stands after "#".')
  })

const Headers = z
  .record(z.string().regex(/^[\w!#$%&'*+.^`|~-]{1,100}$/), z.string().max(8_192))
  .superRefine((fields, { addIssue }) => {
    const issue = (message: string, path: string[] = []) => addIssue({ code: 'custom', message, path })
    if (Object.keys(fields).length > maxFields) issue(`Give at most ${maxFields} header fields.`)
    for (const [name, value] of Object.entries(fields)) {
      if (isReservedField(name) || /^(if-|range$|accept-encoding$)/i.test(name))
        issue('This field is not yours to set. Leave it out.', [name])
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) issue('Give a value of one line, without control characters.', [name])
    }
  })

const HttpConfig = z
  .strictObject({
    url: HttpUrl.optional().describe('The URL of one file, whose path ends with its name.'),
    manifest: HttpUrl.optional().describe('The URL of a list of files in JSON or YAML, in place of `url`.'),
    headers: secret(Headers.optional()).describe('Header fields of each request to the origin of the URL, Authorization say.'),
  })
  .superRefine(({ url, manifest }, { addIssue }) => {
    const issue = (message: string, field: string) => addIssue({ code: 'custom', message, path: [field] })
    if ((url === undefined) === (manifest === undefined)) issue('Give either `url` or `manifest`.', 'url')
    if (url !== undefined && URL.canParse(url) && nameIn(url) === null)
      issue('The path must end with the name of the file.', 'url')
  })

/** One file that a URL answers with, or those that a manifest names. */
export const http: Provider<HttpConfig> = {
  name: 'http',
  config: HttpConfig,
  needsGlobalAdmin: false,
  target: (config) => new URL(mainUrl(config)).origin,

  async check(config, context) {
    const [first] = await findFiles(config, context)
    if (first)
      await get(config, { what: first.path, url: first.url, maxBytes: context.limits.fileBytes, signal: context.signal }, context)
  },

  async list(config, previous, context) {
    const saved = readRevision(previous)
    const files = await findFiles(config, context)
    await writeFile(join(context.workspace, indexFile), JSON.stringify(files))
    const budget = { leftBytes: context.limits.totalBytes }
    const known = await inParallel(files, { atOnce, signal: context.signal }, async (file, signal) => {
      const now = await refresh(config, file, findKnown(saved, file.path, file.url), signal, context)
      budget.leftBytes -= now.sizeBytes
      if (budget.leftBytes < 0) throw tooLarge(file.path, context)
      return now
    })
    const revision = writeRevision(known)
    if (readRevision(revision).digest === saved.digest) return { revision, unchanged: true }
    const listed = known.map(({ path, hash, sizeBytes }) => ({ path, hash, sizeBytes }))
    return { revision, unchanged: false, files: listed, ignored: [], commit: null }
  },

  async *read(config, files, _revision, context) {
    let leftBytes = context.limits.totalBytes
    const urls = files.length > 0 ? await findUrls(config, context) : new Map<string, string>()
    for (let start = 0; start < files.length; start += atOnce) {
      const some = await inParallel(files.slice(start, start + atOnce), { atOnce, signal: context.signal }, (file, signal) =>
        fetchListed(config, { ...file, url: urls.get(file.path) }, signal, context),
      )
      for (const { path, bytes } of some) {
        leftBytes -= bytes.length
        if (leftBytes < 0) throw tooLarge(path, context)
        yield { path, bytes }
      }
    }
  },
}

/** Names only what is named, where the config names one file. */
async function findFiles(config: HttpConfig, context: ProviderContext): Promise<ManifestFile[]> {
  if (config.manifest === undefined) return [{ path: nameIn(mainUrl(config)) ?? '', url: mainUrl(config) }]
  const { signal, limits } = context
  const asked = { what: 'manifest', url: config.manifest, maxBytes: maxManifestBytes, signal }
  const { body, url } = await get(config, asked, context)
  return parseManifest(body, url, limits.files)
}

/** The file as it is now: as it was where the other side says so, else fetched. */
async function refresh(
  config: HttpConfig,
  { path, url }: ManifestFile,
  before: Known | null,
  signal: AbortSignal,
  context: ProviderContext,
): Promise<Known> {
  const headers: Record<string, string> = {}
  if (before?.etag) headers['if-none-match'] = before.etag
  if (before?.lastModified) headers['if-modified-since'] = before.lastModified
  const answer = await get(config, { what: path, url, headers, maxBytes: context.limits.fileBytes, signal }, context)
  if (before && answer.status === 304) return before
  const hash = sha256(answer.body)
  await writeFile(join(context.workspace, hash), answer.body)
  return { path, url, hash, sizeBytes: answer.body.length, ...validatorsOf(answer.headers) }
}

/** Where the files are, as `list` left it. */
async function findUrls(config: HttpConfig, context: ProviderContext): Promise<Map<string, string>> {
  const index = await readIfThere(join(context.workspace, indexFile))
  const files = index ? (JSON.parse(index.toString()) as ManifestFile[]) : await findFiles(config, context)
  return new Map(files.map(({ path, url }) => [path, url]))
}

/** From the workspace if it is there, else from the other side, which may have another one by now. */
async function fetchListed(
  config: HttpConfig,
  { path, hash, url }: ListedFile & { url: string | undefined },
  signal: AbortSignal,
  context: ProviderContext,
): Promise<{ path: string; bytes: Buffer }> {
  const kept = await readIfThere(join(context.workspace, hash))
  if (kept && sha256(kept) === hash) return { path, bytes: kept }
  const answer = url && (await get(config, { what: path, url, maxBytes: context.limits.fileBytes, signal }, context))
  if (answer && sha256(answer.body) === hash) return { path, bytes: answer.body }
  throw tryLater('source.changed', `File "${path}" is another one than was listed. Sync again.`, 1)
}

async function readIfThere(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** One request, which is noted. The credentials go to the origin that they are meant for, and to no other. */
async function get(config: HttpConfig, asked: Asked, context: ProviderContext): Promise<OutboundAnswer> {
  const { what, url, headers = {}, maxBytes, signal } = asked
  const isTarget = new URL(url).origin === new URL(mainUrl(config)).origin
  const started = performance.now()
  let statusCode: number | null = null
  let failure: string | null = null
  try {
    const answer = await context.outbound.send(url, {
      headers: { accept: '*/*', ...headers },
      credentials: isTarget ? (config.headers ?? {}) : {},
      timeoutMs: context.requestTimeoutMs,
      maxBytes,
      signal,
      ...(url === mainUrl(config) ? {} : { learntFrom: mainUrl(config) }),
    })
    statusCode = answer.status
    if (answer.status === 200 || (answer.status === 304 && Object.keys(headers).length > 0)) return answer
    throw refusal(asked, answer)
  } catch (error) {
    const isFile = maxBytes === context.limits.fileBytes
    const known = isFile && error instanceof AppError && error.code === 'source.too_large' ? tooLarge(what, context) : error
    failure = known instanceof Error ? known.message : String(known)
    throw known
  } finally {
    context.note({ what, statusCode, durationMs: Math.round(performance.now() - started), error: failure })
  }
}

/** Of the answer only its status is told: its text may repeat what was sent. */
function refusal({ what, url }: Asked, { status, headers }: OutboundAnswer): AppError {
  const { origin, pathname } = new URL(url)
  const place = `"${what}" at ${origin}${pathname.slice(0, 200)}`
  const seconds = Math.min(3_600, Math.max(1, Number(headers['retry-after']) || 60))
  if (status === 401 || status === 403) {
    return new AppError(
      'source.denied',
      `${place} is refused (status ${status}). Give credentials in \`headers\` that may read it.`,
    )
  }
  if (status === 404 || status === 410) {
    return new AppError('source.missing', `${place} is not there (status ${status}). Check the address.`)
  }
  if (status === 429) return tryLater('source.limited', `${place} cannot be had: there are too many requests.`, seconds)
  if (status >= 500) return tryLater('source.unreachable', `${place} cannot be had: the server answers with ${status}.`, seconds)
  return new AppError('source.invalid', `${place} is answered with status ${status}. Give an address that is answered with 200.`)
}

function tooLarge(what: string, { limits }: ProviderContext): AppError {
  return new AppError(
    'source.too_large',
    `"${what}" is too large: a file may have ${limits.fileBytes} bytes, and all of them ${limits.totalBytes}. Leave it out or split it.`,
  )
}

function mainUrl({ url, manifest }: HttpConfig): string {
  return manifest ?? url ?? ''
}

/** The name that the path of a URL ends with, or null. */
function nameIn(url: string): string | null {
  try {
    const name = decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? '')
    return name.includes('/') || pathProblem(name) !== null ? null : name
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}
