import type { ErrorCode, Finding } from '../errors.js'
import { FileError } from './file-formats/file-error.js'
import { isPromptFile, nameOfFile } from './files.js'
import { compileGlob } from './glob.js'
import { isPromptName, maxNameLength } from './names.js'
import { mapInSlices, type Pause } from './slices.js'

/** Which files of a source are taken, and what their names begin with. */
export type SelectionRules = { include: readonly string[]; exclude: readonly string[]; prefix: string | null }

export type Selected<File> = {
  prompts: (File & { name: string })[]
  /** The file at the root that routes, where there is one, and the one that says its schema. */
  pathFile: File | null
  schemaVersion: File | null
  /** The paths that give no name, and those that give the same one as another. */
  faults: Fault[]
}

/** One thing that is wrong with a source. */
export type Fault = Finding & { code: ErrorCode }

/** The folder that prompts are kept in by convention: it is no part of their names. */
const folder = 'prompts/'
export const pathFileName = 'PATH'
export const schemaVersionName = 'schema-version'
const readme = /^readme(\.[^/]*)?$/i
/** Characters of paths times those of patterns: the most that is matched in a minute, were all of it made to be slow. */
const maxMatchCost = 20e9

/** The name of a prompt by the name that its path alone gives: without the folder of prompts, and with the prefix of its source. Pure. */
export function nameInSource(name: string, prefix: string | null): string {
  const bare = name.startsWith(folder) ? name.slice(folder.length) : name
  return prefix === null ? bare : `${prefix}/${bare}`
}

/**
 * Chooses the prompt files of a listing. Without `include` those under `prompts/` are taken if there are any, else all but
 * those in folders whose name begins with a dot; READMEs never. Of files that collide the first one is kept.
 */
export async function selectFiles<File extends { path: string }>(
  files: readonly File[],
  rules: SelectionRules,
  pause: Pause,
): Promise<Selected<File>> {
  const atRoot = (name: string) => files.find(({ path }) => path === name) ?? null
  const routing = { pathFile: atRoot(pathFileName), schemaVersion: atRoot(schemaVersionName) }
  const cost = costFault(files, rules)
  if (cost) return { prompts: [], ...routing, faults: [cost] }
  const taken = await chosen(files, rules, pause)
  const named = await mapInSlices(taken, pause, (file) => ({ file, ...nameIn(file.path, rules.prefix) }))
  const nameless = named.flatMap(({ file: { path }, problem }): Fault[] =>
    problem === undefined ? [] : [{ code: 'file.invalid', path, message: problem }],
  )
  const selected = named.flatMap(({ file, name }) => (name === undefined ? [] : [{ ...file, name }]))
  const { first, faults } = withoutCollisions(selected)
  return { prompts: first, ...routing, faults: [...nameless, ...faults] }
}

function costFault(files: readonly { path: string }[], { include, exclude }: SelectionRules): Fault | null {
  const [ofPaths = 0, ofPatterns = 0] = [files.map(({ path }) => path), [...include, ...exclude]].map((texts) =>
    texts.reduce((sum, { length }) => sum + length, 0),
  )
  if (ofPaths * ofPatterns <= maxMatchCost) return null
  const message = `The paths of ${files.length} files and the patterns of \`include\` and \`exclude\` are too long together. Use fewer patterns.`
  return { code: 'source.too_large', path: '', message }
}

async function chosen<File extends { path: string }>(
  files: readonly File[],
  { include, exclude }: SelectionRules,
  pause: Pause,
): Promise<File[]> {
  const [included, excluded] = [globs(include), globs(exclude)]
  const isTaken = (path: string) =>
    isPromptFile(path) && !isReadme(path) && (include.length === 0 || included(path)) && !excluded(path)
  const taken = await mapInSlices(files, pause, ({ path }) => isTaken(path))
  const formats = files.filter((_file, index) => taken[index])
  if (include.length > 0) return formats
  const visible = formats.filter(({ path }) => !path.split('/').some((segment) => segment.startsWith('.')))
  const inFolder = visible.filter(({ path }) => path.startsWith(folder))
  return inFolder.length > 0 ? inFolder : visible
}

function isReadme(path: string): boolean {
  return readme.test(path.slice(path.lastIndexOf('/') + 1))
}

function globs(patterns: readonly string[]): (path: string) => boolean {
  const compiled = patterns.map(compileGlob)
  return (path) => compiled.some((matches) => matches(path))
}

function nameIn(path: string, prefix: string | null): { name?: string; problem?: string } {
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

function withoutCollisions<File extends { path: string; name: string }>(files: File[]) {
  const byName = new Map<string, File>()
  const faults = files.flatMap((file): Fault[] => {
    const { path, name } = file
    const other = byName.get(name)?.path
    if (other === undefined) {
      byName.set(name, file)
      return []
    }
    const message = `Files "${other}" and "${path}" are both prompt "${name}". Rename or exclude one of them.`
    return [{ code: 'file.collision', path, message }]
  })
  return { first: [...byName.values()], faults }
}
