import { CORE_SCHEMA, FAILSAFE_SCHEMA, load, YAMLException } from 'js-yaml'
import { AppError, type Finding } from '../errors.js'
import { maxDepth } from './json-body.js'
import { isPromptName, maxNameLength, slugPath } from './names.js'
import { findUnstorable } from './text.js'

/** A prompt as a file gives it: not validated yet beyond being JSON. */
export type FilePrompt = { name: string; fields: Record<string, unknown>; warnings: string[] }

type Reader = (text: string) => { fields: Record<string, unknown>; extra: Record<string, unknown> }

const readers: Record<string, Reader> = {
  txt: readPlain,
  j2: readPlain,
  jinja: readPlain,
  md: readMarkdown,
  yaml: readYaml,
  yml: readYaml,
}

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
const unsupported = /\.(prompty|prompt\.ya?ml)$/i
const maxFileBytes = 512 * 1024
const maxPathLength = 1_000
/** Anchors let a small file stand for a huge one, so what they expand to is counted. */
const maxYamlNodes = 50_000
const maxYamlAliases = 200
/** Lines cost more than bytes: this many are read in a few hundredths of a second. */
const maxYamlLines = 20_000

/** Reads one file of a push or a source. `where` is its path in the request. Throws `AppError`s that name the file. */
export function parsePromptFile(path: string, content: string, where: string): FilePrompt {
  const fail = (code: 'file.invalid' | 'file.unsupported', message: string) =>
    new AppError(code, `File "${path}": ${message}`, { errors: [{ path: where, message: `File "${path}": ${message}` }] })
  try {
    const name = nameOf(path)
    if (Buffer.byteLength(content) > maxFileBytes) throw new FileError(`is over ${maxFileBytes / 1024} KiB. Split it.`)
    const { fields, extra } = readerOf(path)(content.startsWith('\ufeff') ? content.slice(1) : content)
    return { name, ...withMetadata(path, fields, extra) }
  } catch (error) {
    if (error instanceof UnsupportedFile) throw fail('file.unsupported', error.message)
    if (error instanceof FileError) throw fail('file.invalid', error.message)
    throw error
  }
}

class FileError extends Error {}
class UnsupportedFile extends Error {}

function nameOf(path: string): string {
  if (path.length > maxPathLength) throw new FileError(`the path is over ${maxPathLength} characters.`)
  if (path.includes('\\')) throw new FileError('the path holds a backslash. Separate folders by "/".')
  if (/^\/|^[A-Za-z]:/.test(path)) throw new FileError('the path is absolute. Give it relative to the folder of prompts.')
  const segments = path.split('/')
  if (segments.some((segment) => segment === '..' || segment === '.' || segment === '')) {
    throw new FileError('the path has an empty, "." or ".." segment. Give it relative to the folder of prompts.')
  }
  if (unsupported.test(path))
    throw new UnsupportedFile('.prompty and .prompt.yml files are not supported yet. Push it as .yaml or .md.')
  const name = slugPath(path.replace(/\.[^./]+$/, ''))
  if (!isPromptName(name)) {
    throw new FileError(
      `no prompt name (letters or digits in each segment, at most ${maxNameLength} characters) can be made of the path. Rename it.`,
    )
  }
  return name
}

function readerOf(path: string): Reader {
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? ''
  const reader = Object.hasOwn(readers, extension) ? readers[extension] : undefined
  if (!reader) {
    throw new UnsupportedFile(
      `the format is not known. Use one of ${Object.keys(readers)
        .map((known) => `.${known}`)
        .join(', ')}.`,
    )
  }
  return reader
}

function readPlain(text: string) {
  return { fields: { content: text }, extra: {} }
}

/** The content is what follows the front matter, byte for byte. A rule (`---`) that opens no mapping is content. */
function readMarkdown(text: string) {
  const match = /^---[ \t]*\r?\n([\s\S]*?)(?<=\n)---[ \t]*(?:\r?\n|$)/.exec(text)
  const frontMatter = match ? parseYaml(match[1] ?? '', 1) : null
  if (!match || (frontMatter !== null && !isMapping(frontMatter))) return { fields: { content: text }, extra: {} }
  const { fields, extra } = splitFields(frontMatter ?? {})
  if (fields.content !== undefined || fields.messages !== undefined) {
    throw new FileError(
      'the front matter holds `content` or `messages`, but the content of a .md file is what follows it. Remove it or use .yaml.',
    )
  }
  return { fields: { ...fields, content: text.slice(match[0].length) }, extra }
}

function readYaml(text: string) {
  const document = parseYaml(text, 0)
  if (!isMapping(document)) throw new FileError('is not a YAML mapping. Give it at least `content:` or `messages:`.')
  const { fields, extra } = splitFields(document)
  if (fields.content === undefined && fields.messages === undefined) {
    throw new FileError('has neither `content` nor `messages`. Add one of them.')
  }
  return { fields, extra }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `name` inside a file is the prompt's title; empty fields count as absent. */
function splitFields(document: Record<string, unknown>) {
  const fields: Record<string, unknown> = {}
  const extra: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(document)) {
    if (value === null) continue
    if (key === 'name') fields.title ??= value
    else if (promptFields.includes(key)) fields[key] = value
    else extra[key] = value
  }
  return { fields, extra }
}

function withMetadata(path: string, fields: Record<string, unknown>, extra: Record<string, unknown>) {
  const unknown = Object.keys(extra).filter((key) => !metadataFields.has(key))
  const warnings = unknown.length > 0 ? [`File "${path}": kept in metadata as unknown: ${unknown.join(', ')}.`] : []
  if (Object.keys(extra).length === 0) return { fields, warnings }
  if (fields.metadata !== undefined && !isMapping(fields.metadata)) throw new FileError('`metadata` is not a mapping.')
  return { fields: { ...fields, metadata: { ...extra, ...(fields.metadata as object | undefined) } }, warnings }
}

/** `lineOffset` is the number of lines of the file before `text`. */
function parseYaml(text: string, lineOffset: number): unknown {
  const lines = text.split('\n')
  if (lines.length > maxYamlLines) throw new FileError(`the YAML has over ${maxYamlLines} lines.`)
  let document: unknown
  try {
    document = lines.every((line) => /^\s*(#|$)/.test(line))
      ? null
      : load(text, { schema: CORE_SCHEMA, maxAliases: maxYamlAliases })
  } catch (error) {
    if (error instanceof YAMLException) {
      const line = error.mark ? ` at line ${error.mark.line + 1 + lineOffset}` : ''
      throw new FileError(`the YAML cannot be read${line}: ${error.reason}.`)
    }
    if (error instanceof RangeError) throw new FileError('the YAML is nested too deeply.')
    throw error
  }
  keepAsWritten(document, text)
  const finding = checkJson(document, { left: maxYamlNodes }, 0) ?? findUnstorable(document)
  if (finding) throw new FileError(finding.message)
  return document
}

/** `1.10` and `0123456` are numbers to YAML, but a version and a commit to whoever wrote them. */
function keepAsWritten(document: unknown, text: string): void {
  if (!isMapping(document)) return
  const numbers = ['version', 'git_commit'].filter((key) => typeof document[key] === 'number')
  if (numbers.length === 0) return
  const written = load(text, { schema: FAILSAFE_SCHEMA, maxAliases: maxYamlAliases }) as Record<string, unknown>
  for (const key of numbers) document[key] = written[key]
}

/** YAML can say what JSON cannot, and far more than its size. */
function checkJson(value: unknown, budget: { left: number }, depth: number): Finding | null {
  budget.left -= 1
  if (budget.left < 0) return { path: '', message: `the YAML expands to over ${maxYamlNodes} values.` }
  if (typeof value === 'number' && !Number.isFinite(value))
    return { path: '', message: 'the YAML holds a number that JSON has no form for.' }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return {
      path: '',
      message: `the YAML holds the integer ${value}, which is too large to be kept exactly. Write it in quotes.`,
    }
  }
  if (typeof value !== 'object' || value === null) return null
  if (depth >= maxDepth) return { path: '', message: `the YAML is nested over ${maxDepth} levels deep.` }
  if (Object.hasOwn(value, '__proto__'))
    return { path: '', message: 'the YAML holds the key "__proto__", which is refused. Rename it.' }
  for (const child of Object.values(value)) {
    const finding = checkJson(child, budget, depth + 1)
    if (finding) return finding
  }
  return null
}
