import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, join, relative } from 'node:path'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { orNull, readable, readIfThere } from './file-access.js'
import { gitRoot } from './git.js'
import type { IgnoreRules } from './ignore-rules.js'
import { isWithin, shownPath, slashed } from './paths.js'

/** The most prompts that a push takes. */
const maxFiles = 20_000
/** Folders and files that are looked at, those that are no prompts included. */
const maxEntries = 200_000
const maxDepth = 64

type Walk = {
  root: string
  realRoot: string
  /** The path of `root` below the folder that the first rules count from; empty or with "/" at its end. */
  prefix: string
  isPromptFile: (path: string) => boolean
  found: string[]
  entries: number
  /** What is left out and may be missed. */
  leftOut: string[]
}

/**
 * The paths of the prompt files below a folder, in order. What is hidden, ignored or leads out is left out; what may be missed of
 * that is noted. Throws a `CliError` where a folder cannot be read, or holds too much.
 */
export async function listFiles(context: Context, root: string): Promise<string[]> {
  const { isPromptFile } = await import('../../lib/files.js')
  const { rules, prefix } = await rulesAbove(context, root)
  const walk: Walk = { root, realRoot: await realpath(root), prefix, isPromptFile, found: [], entries: 0, leftOut: [] }
  await walkFolder(context, walk, { path: '', rules, ancestors: [walk.realRoot] })
  noteLeftOut(context, walk)
  return walk.found.sort((one, other) => (one < other ? -1 : 1))
}

type Folder = { path: string; rules: IgnoreRules; ancestors: readonly string[] }

async function walkFolder(context: Context, walk: Walk, { path, rules: above, ancestors }: Folder): Promise<void> {
  context.signal.throwIfAborted()
  const folder = join(walk.root, path)
  const entries = await readable(context, folder, () => readdir(folder, { withFileTypes: true }))
  walk.entries += entries.length
  if (walk.entries > maxEntries || ancestors.length > maxDepth) throw tooMany(context, walk)
  const rules = await withOwnRules(context, walk, { path, rules: above, ancestors })
  for (const entry of entries) {
    if (isSkipped(entry.name)) continue
    const inner = path === '' ? entry.name : `${path}/${entry.name}`
    const place = `${walk.prefix}${inner}`
    // What leads nowhere need not be told of then, either.
    if (entry.isSymbolicLink() && rules.ignores(place)) continue
    const kind = await kindOf(walk, inner, entry, ancestors)
    if (kind === null || rules.ignores(kind.isFolder ? `${place}/` : place)) continue
    if (kind.isFolder) await walkFolder(context, walk, { path: inner, rules, ancestors: [...ancestors, kind.real] })
    else takeFile(context, walk, inner)
  }
}

/** Hidden files, what packages bring along, and READMEs, which are for people, are no prompts. */
export function isSkipped(name: string): boolean {
  return name.startsWith('.') || name === 'node_modules' || /^readme(\.[^/]*)?$/i.test(name)
}

/** Endings of files that somebody may take for prompts. */
const likely = new Set([
  '.json',
  '.toml',
  '.markdown',
  '.mdx',
  '.text',
  '.prompt',
  '.hbs',
  '.mustache',
  '.liquid',
  '.html',
  '.xml',
])

function takeFile(context: Context, walk: Walk, path: string): void {
  if (!walk.isPromptFile(path)) {
    if (likely.has(extname(path).toLowerCase())) walk.leftOut.push(path)
    return
  }
  walk.found.push(path)
  if (walk.found.length > maxFiles) throw tooMany(context, walk)
}

/** A link counts as what it leads to, unless that lies outside, is not there, or holds the link itself. */
async function kindOf(
  walk: Walk,
  path: string,
  entry: Dirent,
  ancestors: readonly string[],
): Promise<{ isFolder: boolean; real: string } | null> {
  const full = join(walk.root, path)
  if (!entry.isSymbolicLink()) return entry.isDirectory() || entry.isFile() ? { isFolder: entry.isDirectory(), real: full } : null
  const real = await orNull(() => realpath(full))
  const found = real === null ? null : await orNull(() => stat(real))
  const isOurs = real !== null && isWithin(walk.realRoot, real) && !ancestors.includes(real)
  if (isOurs && (found?.isDirectory() || found?.isFile())) return { isFolder: found.isDirectory(), real }
  walk.leftOut.push(`${path} (a link that leads out of the folder, or nowhere)`)
  return null
}

const maxNoted = 5

function noteLeftOut({ output }: Context, { leftOut }: Walk): void {
  if (leftOut.length === 0) return
  const more = leftOut.length > maxNoted ? ` and ${leftOut.length - maxNoted} more` : ''
  output.note(`Left out, as no prompts: ${leftOut.slice(0, maxNoted).join(', ')}${more}.`)
}

function tooMany(context: Context, { root }: Walk): CliError {
  return new CliError(
    `${shownPath(context, root)} holds too much: over ${maxFiles.toLocaleString('en')} prompts, or folders in folders.`,
    {
      remedy: 'Name the folder of prompts alone (--path FOLDER), or list what is none in .promptsyncignore.',
    },
  )
}

async function withOwnRules(context: Context, { root, prefix }: Walk, { path, rules }: Folder): Promise<IgnoreRules> {
  const { ignoreFileName } = await import('./ignore-rules.js')
  const file = join(root, path, ignoreFileName)
  const text = await readable(context, file, () => readIfThere(file))
  return text === null ? rules : rules.within(`${prefix}${path}`.replace(/\/$/, ''), text)
}

/** Rules of the folders above count as well, up to the root of the repository, or to the folder of the settings. */
async function rulesAbove(context: Context, root: string): Promise<{ rules: IgnoreRules; prefix: string }> {
  const { ignoreFileName, noRules } = await import('./ignore-rules.js')
  const real = await realpath(root)
  const top = gitRoot(real) ?? (await realpath((await context.project()).directory))
  const steps = isWithin(top, real) ? slashed(relative(top, real)).split('/').filter(Boolean) : []
  let rules = noRules()
  for (const [index] of steps.entries()) {
    const folder = steps.slice(0, index).join('/')
    const text = await readIfThere(join(top, folder, ignoreFileName))
    if (text !== null) rules = rules.within(folder, text)
  }
  return { rules, prefix: steps.map((step) => `${step}/`).join('') }
}
