import { FileError } from './file-error.js'
import { isMapping, parseYaml } from './yaml.js'

type Fields = Record<string, unknown>

/** What a format finds in a file: fields of a prompt, fields with a place in its metadata, and fields it does not know. */
export type FileContent = { fields: Fields; kept?: Fields; extra: Fields; warnings?: string[] }

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
/** Fields with a place in metadata that need no warning. */
const metadataFields = new Set(['version', 'git_commit', 'author', 'tags', 'date'])

export function readPlain(text: string): FileContent {
  return { fields: { content: text }, extra: {} }
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
  return { fields: { ...fields, content: match.body }, extra }
}

export function readYaml(text: string): FileContent {
  const { fields, extra } = splitFields(parseMapping(text))
  if (fields.content === undefined && fields.messages === undefined) {
    throw new FileError('has neither `content` nor `messages`. Add one of them.')
  }
  return { fields, extra }
}

/** Front matter that begins with the first character and ends with a line of its own. */
export function matchFrontMatter(text: string): { yaml: string; body: string } | null {
  const match = /^---[ \t]*\r?\n([\s\S]*?)(?<=\n)---[ \t]*(?:\r?\n|$)/.exec(text)
  return match ? { yaml: match[1] ?? '', body: text.slice(match[0].length) } : null
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

/** Puts what has no field of its own into the metadata, whose own entries win. */
export function withMetadata({ fields, kept = {}, extra, warnings = [] }: FileContent): { fields: Fields; warnings: string[] } {
  const unknown = Object.keys(extra).filter((key) => !metadataFields.has(key))
  const all = unknown.length > 0 ? [...warnings, `kept in metadata as unknown: ${unknown.join(', ')}.`] : warnings
  const added = { ...kept, ...extra }
  if (Object.keys(added).length === 0) return { fields, warnings: all }
  if (fields.metadata !== undefined && !isMapping(fields.metadata)) throw new FileError('`metadata` is not a mapping.')
  return { fields: { ...fields, metadata: { ...added, ...fields.metadata } }, warnings: all }
}
