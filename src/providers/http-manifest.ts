import { AppError } from '../errors.js'
import { FileError } from '../lib/file-formats/file-error.js'
import { isMapping, parseYaml } from '../lib/file-formats/yaml.js'
import { pathProblem } from '../lib/relative-path.js'

/** A file of a manifest, and where it is. */
export type ManifestFile = { path: string; url: string }

/**
 * Reads `files` of a manifest in JSON or YAML: `folder/name.md`, which is there beside the manifest, or a `path` with its `url`,
 * which may be relative to the manifest too. Throws `source.invalid` naming the entry that is wrong. Pure.
 */
export function parseManifest(bytes: Buffer, manifestUrl: string, maxFiles: number): ManifestFile[] {
  const document = parseDocument(bytes)
  const entries = isMapping(document) ? document.files : undefined
  if (!Array.isArray(entries)) throw invalid('has no list `files`. Write `{ "files": ["folder/name.md"] }`')
  if (entries.length > maxFiles) {
    throw new AppError('source.too_large', `The manifest names ${entries.length} files; at most ${maxFiles} are taken. Split it.`)
  }
  const files = entries.map((entry, index) => parseEntry(entry, index, manifestUrl))
  const seen = new Set<string>()
  for (const { path } of files) {
    if (seen.has(path)) throw invalid(`names "${path}" twice. Name it once`)
    seen.add(path)
  }
  return files
}

function parseDocument(bytes: Buffer): unknown {
  try {
    return parseYaml(new TextDecoder('utf-8', { fatal: true }).decode(bytes), 0)
  } catch (error) {
    if (error instanceof FileError) throw invalid(`cannot be read: ${error.message.replace(/\.$/, '')}`)
    if (error instanceof TypeError) throw invalid('is not UTF-8')
    throw error
  }
}

function parseEntry(entry: unknown, index: number, manifestUrl: string): ManifestFile {
  const place = `has an entry files[${index}]`
  const { path, url } = isMapping(entry) ? entry : { path: entry, url: undefined }
  if (typeof path !== 'string') throw invalid(`${place} that is neither a path nor { path, url }`)
  const problem = pathProblem(path)
  if (problem !== null) throw invalid(`${place} of which ${problem}`)
  const beside = path.split('/').map(encodeURIComponent).join('/')
  const reference = url === undefined || url === null ? beside : url
  if (typeof reference !== 'string' || !URL.canParse(reference, manifestUrl)) throw invalid(`${place} whose URL is not valid`)
  const found = new URL(reference, manifestUrl)
  found.hash = ''
  if (found.username !== '' || found.password !== '') throw invalid(`${place} with credentials in its URL`)
  return { path, url: found.href }
}

function invalid(what: string): AppError {
  return new AppError('source.invalid', `The manifest ${what}.`)
}
