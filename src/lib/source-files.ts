import { Minimatch } from 'minimatch'
import { AppError, type Finding } from '../errors.js'
import { FileError } from './file-formats/file-error.js'
import { isPromptFile, nameOfFile } from './files.js'
import { isPromptName, maxNameLength } from './names.js'
import { maxFindings } from './validation.js'

/** Which files of a source are taken, and what their names begin with. */
export type SelectionRules = { include: readonly string[]; exclude: readonly string[]; prefix: string | null }

export type Selected<File> = {
  prompts: (File & { name: string })[]
  /** The file at the root that routes, where there is one, and the one that says its schema. */
  pathFile: File | null
  schemaVersion: File | null
}

/** The folder that prompts are kept in by convention: it is no part of their names. */
const folder = 'prompts/'
const pathFileName = 'PATH'
const schemaVersionName = 'schema-version'
/** What is left of the language costs little for any path, given `globProblem`. */
const globOptions = { dot: true, nocomment: true, nonegate: true, noext: true, braceExpandMax: 100 }
const maxGlobLength = 300
const readme = /^readme(\.[^/]*)?$/i

/** Why a pattern cannot be used, or null: one with many wildcards could take for ever to match. Pure. */
export function globProblem(pattern: string): string | null {
  if (pattern.length > maxGlobLength) return `is over ${maxGlobLength} characters`
  if (pattern.startsWith('/') || pattern.split('/').includes('..')) return 'must be relative, without ".."'
  const segments = pattern.split('/')
  if (segments.filter((segment) => segment === '**').length > 3) return 'has more than three "**"'
  if (segments.some((segment) => segment !== '**' && segment.split('*').length > 4)) return 'has more than three "*" in a segment'
  return null
}

/** The name of a prompt by the name that its path alone gives: without the folder of prompts, and with the prefix of its source. Pure. */
export function nameInSource(name: string, prefix: string | null): string {
  const bare = name.startsWith(folder) ? name.slice(folder.length) : name
  return prefix === null ? bare : `${prefix}/${bare}`
}

/**
 * Chooses the prompt files of a listing. Without `include` those under `prompts/` are taken if there are any, else all but
 * those in folders whose name begins with a dot; READMEs never. Throws `file.invalid` for paths that give no name and
 * `file.collision` for paths that give the same one, naming all. Pure.
 */
export function selectFiles<File extends { path: string }>(files: readonly File[], rules: SelectionRules): Selected<File> {
  const prompts = chosen(files, rules).map((file) => ({ file, named: nameIn(file.path, rules.prefix) }))
  refuse(
    'file.invalid',
    prompts.flatMap(({ file: { path }, named }) => ('problem' in named ? [{ path, message: named.problem }] : [])),
  )
  const selected = prompts.flatMap(({ file, named }) => ('name' in named ? [{ ...file, name: named.name }] : []))
  refuse('file.collision', collisions(selected))
  const atRoot = (name: string) => files.find(({ path }) => path === name) ?? null
  return { prompts: selected, pathFile: atRoot(pathFileName), schemaVersion: atRoot(schemaVersionName) }
}

function chosen<File extends { path: string }>(files: readonly File[], { include, exclude }: SelectionRules): File[] {
  const excluded = globs(exclude)
  const formats = files.filter(({ path }) => isPromptFile(path) && !readme.test(path.split('/').at(-1) ?? '') && !excluded(path))
  if (include.length > 0) {
    const included = globs(include)
    return formats.filter(({ path }) => included(path))
  }
  const visible = formats.filter(({ path }) => !path.split('/').some((segment) => segment.startsWith('.')))
  const inFolder = visible.filter(({ path }) => path.startsWith(folder))
  return inFolder.length > 0 ? inFolder : visible
}

function globs(patterns: readonly string[]): (path: string) => boolean {
  const compiled = patterns.map((pattern) => new Minimatch(pattern, globOptions))
  return (path) => compiled.some((glob) => glob.match(path))
}

function nameIn(path: string, prefix: string | null): { name: string } | { problem: string } {
  try {
    const name = nameInSource(nameOfFile(path), prefix)
    if (isPromptName(name)) return { name }
    return {
      problem: `File "${path}": "${name}" is no prompt name: at most ${maxNameLength} characters. Rename it, or exclude it.`,
    }
  } catch (error) {
    if (error instanceof FileError) return { problem: `File "${path}": ${error.message}` }
    throw error
  }
}

function collisions(files: readonly { path: string; name: string }[]): Finding[] {
  const seen = new Map<string, string>()
  return files.flatMap(({ path, name }) => {
    const other = seen.get(name)
    if (other === undefined) {
      seen.set(name, path)
      return []
    }
    return [{ path, message: `Files "${other}" and "${path}" are both prompt "${name}". Rename or exclude one of them.` }]
  })
}

function refuse(code: 'file.invalid' | 'file.collision', findings: Finding[]): void {
  const [first] = findings
  if (!first) return
  const more = findings.length > 1 ? ` (and ${findings.length - 1} more, see errors)` : ''
  throw new AppError(code, `${first.message}${more}`, { errors: findings.slice(0, maxFindings) })
}
