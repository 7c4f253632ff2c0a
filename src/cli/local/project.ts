import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, normalize, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { slugPattern } from '../../lib/names.js'
import { CliError } from '../exit-codes.js'
import { gitRemote, gitRoot } from './git.js'

/** What a project's own settings say; all are optional. */
export type ProjectSettings = {
  project?: string
  /** The folder of prompts, from the file that says so. */
  path?: string
  /** What a push moves. */
  alias?: string
  template?: 'jinja' | 'none'
}

/** `slug` is null where nothing names a project: the server takes the key's own, else `default`. */
export type FoundProject = {
  slug: string | null
  /** How it was found, as a person would say it. */
  from: string
  /** Whether it was only guessed from a name that may mean something else. */
  isGuess: boolean
  settings: ProjectSettings
  /** The file of the settings, and its folder, from which their paths count. */
  settingsFile: string | null
  directory: string
}

const configNames = ['ts', 'js', 'mjs', 'json', 'yaml', 'yml'].map((extension) => `promptsync.config.${extension}`)

/** Folders between here and the root of the repository; without a repository here alone. */
const maxFolders = 64

type Where = { flag: string | undefined; env: NodeJS.ProcessEnv; cwd: string }

/**
 * The project, from the first that names one: `--project`, `PROMPTSYNC_PROJECT`, `promptsync.config.*`, the `promptsync` key of
 * package.json or `[tool.promptsync]` of pyproject.toml, the name in pyproject.toml or package.json, the repository's name. The
 * folders are looked through from here to the root of the repository. Throws a `CliError` where a file cannot be read, or names no slug.
 */
export async function findProject({ flag, env, cwd }: Where): Promise<FoundProject> {
  const root = rootOf(cwd)
  const folders = foldersUpTo(cwd, root)
  const found = await findSettings(folders)
  const base = {
    settings: found?.settings ?? {},
    settingsFile: found?.file ?? null,
    directory: found ? dirname(found.file) : cwd,
  }
  const named = (slug: string, from: string) => ({ ...base, slug: checkSlug(slug, from), from, isGuess: false })
  if (flag !== undefined) return named(flag, '--project')
  if (env.PROMPTSYNC_PROJECT) return named(env.PROMPTSYNC_PROJECT, 'PROMPTSYNC_PROJECT')
  if (found?.settings.project !== undefined) return named(found.settings.project, found.file)
  const guess = await guessProject(cwd, folders, root)
  if (guess) return { ...base, ...guess, isGuess: true }
  return { ...base, slug: null, from: "nothing names one: the key's own, else default", isGuess: false }
}

/** Git writes "/" on every platform. */
function rootOf(cwd: string): string | null {
  const root = gitRoot(cwd)
  return root === null ? null : normalize(root)
}

/** From here up to `root`, which git names without symbolic links; here alone where `root` is not above. */
function foldersUpTo(cwd: string, root: string | null): string[] {
  const folders = [cwd]
  if (root === null || isOutside(root, cwd)) return folders
  while (folders.at(-1) !== root && folders.length < maxFolders) folders.push(dirname(folders.at(-1) ?? root))
  return folders
}

function isOutside(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return isAbsolute(way) || way === '..' || way.startsWith(`..${sep}`)
}

type FoundSettings = { file: string; settings: ProjectSettings }

async function findSettings(folders: string[]): Promise<FoundSettings | null> {
  for (const folder of folders) {
    const files = configNames.map((name) => join(folder, name)).filter((file) => existsSync(file))
    const [file, other] = files
    if (file && other) {
      throw new CliError(`${folder} holds two settings of promptsync, ${basename(file)} and ${basename(other)}.`, {
        remedy: 'Keep one of them.',
      })
    }
    if (file) return { file, settings: checkSettings(file, await readConfig(file)) }
    const inPackage = await readNested(join(folder, 'package.json'), (value) => value.promptsync)
    if (inPackage) return inPackage
    const inPyproject = await readNested(
      join(folder, 'pyproject.toml'),
      (value) => (value.tool as Fields | undefined)?.promptsync,
    )
    if (inPyproject) return inPyproject
  }
  return null
}

type Fields = Record<string, unknown>

async function readNested(file: string, pick: (value: Fields) => unknown): Promise<FoundSettings | null> {
  if (!existsSync(file)) return null
  const nested = pick(await readFields(file))
  return nested === undefined ? null : { file, settings: checkSettings(file, nested) }
}

/** The fields of a file that others own; none where it holds no object. */
async function readFields(file: string): Promise<Fields> {
  const value = await readConfig(file)
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

/** What a file of settings holds, by its ending. Code is run: it is the project's own. */
async function readConfig(file: string): Promise<unknown> {
  try {
    if (file.endsWith('.json')) return JSON.parse(readText(file))
    if (file.endsWith('.toml')) return (await import('smol-toml')).parse(readText(file))
    if (/\.ya?ml$/.test(file)) return (await import('js-yaml')).loadAll(readText(file))[0] ?? {}
    if (file.endsWith('.mjs')) return ((await import(pathToFileURL(file).href)) as { default?: unknown }).default
    // It takes modules of both kinds, whatever the package says that a .js file is.
    const { createJiti } = await import('jiti')
    return await createJiti(import.meta.url, { tryNative: false }).import(file, { default: true })
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${(error as Error).message}`, { remedy: 'Correct the file.', cause: error })
  }
}

/** Text without a byte order mark. */
function readText(file: string): string {
  return readFileSync(file, 'utf8').replace(/^\ufeff/, '')
}

const fields: Record<keyof ProjectSettings, (value: unknown) => boolean> = {
  project: (value) => typeof value === 'string',
  path: (value) => typeof value === 'string',
  alias: (value) => typeof value === 'string',
  template: (value) => value === 'jinja' || value === 'none',
}

function checkSettings(file: string, value: unknown): ProjectSettings {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CliError(`${file} holds no settings: an object is needed.`)
  for (const [name, given] of Object.entries(value)) {
    const isValid = Object.hasOwn(fields, name) ? fields[name as keyof ProjectSettings] : null
    if (!isValid)
      throw new CliError(`${file}: "${name}" is no setting.`, { remedy: `There are ${Object.keys(fields).join(', ')}.` })
    if (!isValid(given))
      throw new CliError(`${file}: "${name}" is not what it should be.`, {
        remedy: name === 'template' ? 'Write jinja or none.' : 'Write a text.',
      })
  }
  return value as ProjectSettings
}

/** Names that stand there for other reasons: of the Python project, the package, the repository. */
async function guessProject(cwd: string, folders: string[], root: string | null): Promise<{ slug: string; from: string } | null> {
  for (const folder of folders) {
    for (const [name, pick] of Object.entries(nameFields)) {
      const file = join(folder, name)
      const slug = existsSync(file) ? toSlug(pick(await readFields(file))) : null
      if (slug !== null) return { slug, from: `the name in ${file}` }
    }
  }
  if (root === null) return null
  const remote = gitRemote(cwd)
  const slug = toSlug(
    (remote ?? root)
      .replace(/\/+$/, '')
      .replace(/\.git$/, '')
      .split(/[/:\\]/)
      .at(-1),
  )
  return slug === null
    ? null
    : { slug, from: remote === null ? `the name of the folder ${root}` : `the name of the repository ${remote}` }
}

const nameFields: Record<string, (value: Fields) => unknown> = {
  'pyproject.toml': ({ project, tool }) =>
    (project as Fields | undefined)?.name ?? ((tool as Fields | undefined)?.poetry as Fields)?.name,
  'package.json': ({ name }) => name,
}

/** A name as a slug, without the scope of a package; null where nothing is left of it. */
function toSlug(name: unknown): string | null {
  if (typeof name !== 'string') return null
  const slug = name
    .replace(/^@[^/]+\//, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
  return slugPattern.test(slug) ? slug : null
}

function checkSlug(slug: string, from: string): string {
  if (slugPattern.test(slug)) return slug
  throw new CliError(`"${slug}" (${from}) is no project.`, { remedy: 'Write 1 to 63 lower-case letters, digits or dashes.' })
}
