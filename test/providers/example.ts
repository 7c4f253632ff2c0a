import { z } from 'zod'
import { AppError, tryLater } from '../../src/errors.js'
import { pathProblem } from '../../src/lib/relative-path.js'
import { digestOf, sha256 } from '../../src/providers/digests.js'
import { type Provider, type ProviderContext, secret } from '../../src/providers/provider.js'

type Config = z.infer<typeof Config>

const Config = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  token: secret(z.string().regex(/^[\x21-\x7e]{1,500}$/, 'Give the token as it is, without blanks.')).optional(),
})

const Bundle = z.record(
  z.string().refine((path) => pathProblem(path) === null),
  z.string(),
)

/** One URL that answers with all files at once: `{ "folder/name.md": "its text" }`. */
export const bundle: Provider<Config> = {
  name: 'bundle',
  config: Config,
  needsGlobalAdmin: false,
  target: ({ url }) => new URL(url).origin,
  check: async (config, context) => void (await fetchFiles(config, context)),
  async list(config, previous, context) {
    const found = [...(await fetchFiles(config, context))]
    const files = found.map(([path, bytes]) => ({ path, hash: sha256(bytes), sizeBytes: bytes.length }))
    const revision = digestOf(files)
    if (revision === previous) return { revision, unchanged: true }
    return { revision, unchanged: false, files, ignored: [], commit: null }
  },
  async *read(config, files, _revision, context) {
    const found = await fetchFiles(config, context)
    for (const { path, hash } of files) {
      const bytes = found.get(path)
      if (!bytes || sha256(bytes) !== hash) throw tryLater('source.changed', `File "${path}" is another one by now.`, 1)
      yield { path, bytes }
    }
  },
}

async function fetchFiles({ url, token }: Config, context: ProviderContext): Promise<Map<string, Buffer>> {
  const { outbound, requestTimeoutMs: timeoutMs, signal, limits } = context
  const note = { what: 'the bundle', statusCode: null as number | null, error: null as string | null }
  const started = performance.now()
  try {
    // As JSON a text may take twice its size.
    const asked = { timeoutMs, maxBytes: 2 * limits.totalBytes, signal }
    const { status, body } = await outbound.send(url, {
      ...asked,
      ...(token === undefined ? {} : { credentials: { authorization: `Bearer ${token}` } }),
    })
    note.statusCode = status
    return withinLimits(parse(status, body), limits)
  } catch (error) {
    note.error = error instanceof AppError ? error.message : 'It failed.'
    throw error
  } finally {
    context.note({ ...note, durationMs: performance.now() - started })
  }
}

/** Of the answer nothing is told but its status: its text may repeat what was sent. */
function parse(status: number, body: Buffer): Map<string, Buffer> {
  if (status === 401 || status === 403) throw new AppError('source.denied', 'The bundle is refused. Check the token.')
  if (status === 404) throw new AppError('source.missing', 'The bundle is not there. Check the URL.')
  if (status >= 500) throw tryLater('source.unreachable', `The bundle is answered with status ${status}.`, 60)
  const bundle = Bundle.safeParse(parseJson(body.toString()))
  if (!bundle.success) throw new AppError('source.invalid', 'The URL answers with no JSON object of texts by their paths.')
  return new Map(Object.entries(bundle.data).map(([path, text]) => [path, Buffer.from(text)]))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

function withinLimits(files: Map<string, Buffer>, limits: ProviderContext['limits']): Map<string, Buffer> {
  const tooLarge = (what: string) => new AppError('source.too_large', `${what} is over what is taken. Split it.`)
  if (files.size > limits.files) throw tooLarge('The number of files')
  let leftBytes = limits.totalBytes
  for (const [path, { length }] of files) {
    leftBytes -= length
    if (length > limits.fileBytes || leftBytes < 0) throw tooLarge(`File "${path}"`)
  }
  return files
}
