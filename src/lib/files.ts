import { AppError } from '../errors.js'
import { type FileContent, readMarkdown, readPlain, withMetadata } from './file-formats/fields.js'
import { FileError, UnsupportedFile } from './file-formats/file-error.js'
import { readGitHubPrompt } from './file-formats/github-models.js'
import { readYaml } from './file-formats/plain-yaml.js'
import { type FilePosition, locateInFile } from './file-formats/positions.js'
import { readPrompty } from './file-formats/prompty.js'
import { isPromptName, maxNameLength, slugPath } from './names.js'

/** A prompt as a file gives it: not validated yet beyond being JSON. */
export type FilePrompt = {
  name: string
  fields: Record<string, unknown>
  warnings: string[]
  /**
   * The place in the file of a position in one of the texts (`content`, `messages[2].content`, `variants[0].content`). All count
   * from 1, and a byte order mark is no column. Null where it is not certain. It keeps the file's text, and reads it again.
   */
  locate: (field: string, line: number, column: number) => FilePosition | null
}

type Reader = (text: string) => FileContent

/** Of two endings that fit a path the longer one counts, and is no part of the name. */
const readers = new Map<string, Reader>([
  ['prompt.yml', readGitHubPrompt],
  ['prompt.yaml', readGitHubPrompt],
  ['prompty', readPrompty],
  ['txt', readPlain],
  ['j2', readPlain],
  ['jinja', readPlain],
  ['md', readMarkdown],
  ['yaml', readYaml],
  ['yml', readYaml],
])

const maxFileBytes = 512 * 1024
const maxPathLength = 1_000

/** Reads one file of a push or a source. `where` is its path in the request. Throws `AppError`s that name the file. */
export function parsePromptFile(path: string, content: string, where: string): FilePrompt {
  const fail = (code: 'file.invalid' | 'file.unsupported', message: string, at: FileError['at'] = undefined) =>
    new AppError(code, `File "${path}": ${message}`, { errors: [{ path: where, message: `File "${path}": ${message}`, ...at }] })
  try {
    checkPath(path)
    const { name, read } = splitPath(path)
    if (Buffer.byteLength(content) > maxFileBytes) throw new FileError(`is over ${maxFileBytes / 1024} KiB. Split it.`)
    const text = content.startsWith('\ufeff') ? content.slice(1) : content
    const found = read(text)
    const { origin } = found
    const { fields, warnings } = withMetadata(found)
    return {
      name,
      fields,
      warnings: warnings.map((warning) => `File "${path}": ${warning}`),
      locate: (field, line, column) => locateInFile(text, fields, origin, field, { line, column }),
    }
  } catch (error) {
    if (error instanceof UnsupportedFile) throw fail('file.unsupported', error.message)
    if (error instanceof FileError) throw fail('file.invalid', error.message, error.at)
    throw error
  }
}

function checkPath(path: string): void {
  if (path.length > maxPathLength) throw new FileError(`the path is over ${maxPathLength} characters.`)
  if (path.includes('\\')) throw new FileError('the path holds a backslash. Separate folders by "/".')
  if (/^\/|^[A-Za-z]:/.test(path)) throw new FileError('the path is absolute. Give it relative to the folder of prompts.')
  const segments = path.split('/')
  if (segments.some((segment) => segment === '..' || segment === '.' || segment === '')) {
    throw new FileError('the path has an empty, "." or ".." segment. Give it relative to the folder of prompts.')
  }
}

/** Whether a path has the ending of a prompt file. */
export function isPromptFile(path: string): boolean {
  return extensionOf(path) !== undefined
}

/** The name that the path of a prompt file gives the prompt. Throws `FileError` where it gives none. */
export function nameOfFile(path: string): string {
  checkPath(path)
  return splitPath(path).name
}

function extensionOf(path: string): string | undefined {
  const lower = path.toLowerCase()
  return [...readers.keys()].find((known) => lower.endsWith(`.${known}`))
}

function splitPath(path: string): { name: string; read: Reader } {
  const extension = extensionOf(path)
  const name = slugPath(extension ? path.slice(0, -extension.length - 1) : path.replace(/\.[^./]+$/, ''))
  if (!isPromptName(name)) {
    throw new FileError(
      `no prompt name (letters or digits in each segment, at most ${maxNameLength} characters) can be made of the path. Rename it.`,
    )
  }
  const read = extension === undefined ? undefined : readers.get(extension)
  if (read) return { name, read }
  throw new UnsupportedFile(`the format is not known. Use one of ${[...readers.keys()].map((known) => `.${known}`).join(', ')}.`)
}
