import { FileError } from './file-error.js'
import { type Origin, verbatim } from './positions.js'
import { isMapping, parseYaml } from './yaml.js'
import { yamlOrigin } from './yaml-positions.js'

type Fields = Record<string, unknown>

/**
 * What a format finds in a file: fields of a prompt, fields with a place in its metadata, fields it does not know, and
 * where the texts of the prompt stand.
 */
export type FileContent = { fields: Fields; kept?: Fields; extra: Fields; warnings?: string[]; origin: Origin }

/** What a file may say of its prompt; anything else of its front matter is kept as metadata. */
const promptFields = [
  'title',
  'description',
  'labels',
  'metadata',
  'template',
  'content',
  'messages',
  'config',
  'inputs',
  'variants',
]
const maxMetadataLength = 65_536
/** Fields with a place in metadata that need no warning. */
const metadataFields = new Set(['version', 'git_commit', 'author', 'tags', 'date'])

export function readPlain(text: string): FileContent {
  return { fields: { content: text }, extra: {}, origin: bodyOrigin(text, 0, () => null) }
}

/** The content is what follows the front matter, byte for byte. A rule (`---`) that opens no mapping is content. */
export function readMarkdown(text: string): FileContent {
  const match = matchFrontMatter(text)
  const frontMatter = match ? parseYaml(match.yaml, 1) : null
  if (!match || (frontMatter !== null && !isMapping(frontMatter))) return readPlain(text)
  const { fields, extra } = splitFields(frontMatter ?? {})
  if (fields.content !== undefined || fields.messages !== undefined) {
    throw new FileError(
      'the front matter holds `content` or `messages`, but the content of a .md file is what follows it. Remove it or use .yaml.',
    )
  }
  const origin = bodyOrigin(text, match.bodyAt, yamlOrigin(match.yaml, match.yamlAt))
  return { fields: { ...fields, content: match.body }, extra, origin }
}

/** The content is the end of the file; what else a file says stands before it. */
export function bodyOrigin(file: string, bodyAt: number, before: Origin): Origin {
  return (path) => (path.length === 1 && path[0] === 'content' ? verbatim(file, bodyAt, file.length - bodyAt) : before(path))
}

/** Front matter that begins with the first character and ends with a line of its own. */
export function matchFrontMatter(text: string): { yaml: string; yamlAt: number; body: string; bodyAt: number } | null {
  const match = /^(---[ \t]*\r?\n)([\s\S]*?)(?<=\n)---[ \t]*(?:\r?\n|$)/.exec(text)
  if (!match) return null
  const [all, rule = '', yaml = ''] = match
  return { yaml, yamlAt: rule.length, body: text.slice(all.length), bodyAt: all.length }
}

/** A whole file of YAML. */
export function parseMapping(text: string): Fields {
  const document = parseYaml(text, 0)
  if (!isMapping(document)) throw new FileError('is not a YAML mapping. Give it at least `content:` or `messages:`.')
  return document
}

/** `name` inside a file is the prompt's title; empty fields count as absent. */
export function splitFields(document: Fields): { fields: Fields; extra: Fields } {
  const fields: Fields = {}
  const extra: Fields = {}
  for (const [key, value] of Object.entries(document)) {
    if (value === null) continue
    if (key === 'name') fields.title ??= value
    else if (promptFields.includes(key)) fields[key] = value
    else extra[key] = value
  }
  return { fields, extra }
}

/**
 * Puts what has no field of its own into the metadata, whose own entries win. What the metadata has no room for is left
 * out, the largest first: a prompt is worth more than the test data of its file.
 */
export function withMetadata({ fields, kept = {}, extra, warnings = [] }: FileContent): { fields: Fields; warnings: string[] } {
  const added = { ...kept, ...extra }
  if (Object.keys(added).length === 0) return { fields, warnings }
  if (fields.metadata !== undefined && !isMapping(fields.metadata)) throw new FileError('`metadata` is not a mapping.')
  const own = fields.metadata ?? {}
  const omitted = tooMuch(added, own)
  const metadata = { ...Object.fromEntries(Object.entries(added).filter(([key]) => !omitted.includes(key))), ...own }
  const unknown = Object.keys(extra).filter((key) => !metadataFields.has(key) && !omitted.includes(key))
  return {
    fields: Object.keys(metadata).length > 0 ? { ...fields, metadata } : fields,
    warnings: [
      ...warnings,
      ...omitted.map((key) => `\`${key}\` is left out: metadata holds at most ${maxMetadataLength / 1024} KiB as JSON.`),
      ...(unknown.length > 0 ? [`kept in metadata as unknown: ${unknown.join(', ')}.`] : []),
    ],
  }
}

/** The fields that have to go so that the rest fits. What `metadata` itself holds was meant to be there. */
function tooMuch(added: Fields, own: Fields): string[] {
  // An entry takes two quotes, a colon and a comma besides its key and value.
  const sizeOf = (key: string, value: unknown) => JSON.stringify(key).length + JSON.stringify(value).length + 2
  const sizes = new Map(Object.entries({ ...added, ...own }).map(([key, value]) => [key, sizeOf(key, value)]))
  let left = [...sizes.values()].reduce((sum, size) => sum + size, 1)
  const candidates = Object.keys(added).filter((key) => !Object.hasOwn(own, key))
  const bySize = candidates.sort((one, other) => (sizes.get(other) ?? 0) - (sizes.get(one) ?? 0))
  return bySize.filter((key) => {
    if (left <= maxMetadataLength) return false
    left -= sizes.get(key) ?? 0
    return true
  })
}
