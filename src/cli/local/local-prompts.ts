import { readFile, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { inParallel } from '../../lib/parallel.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { counted } from '../terminal/counted.js'
import { orNull, readable } from './file-access.js'
import { isWithin, shownPath, slashed } from './paths.js'
import { listFiles } from './prompt-folder.js'

/** `path` is below the folder of prompts, with "/" on every platform. */
export type LocalFile = { path: string; content: string }

export type LocalPrompts = {
  /** The folder that the paths of files count from, absolute. */
  root: string
  /** In the order of their paths. */
  files: LocalFile[]
  sizeBytes: number
  /** Whether one file was named, not a folder. */
  isFile: boolean
}

const maxFileBytes = 1024 ** 2
const maxTotalBytes = 32 * 1024 ** 2
const readsAtOnce = 16

/** The folder of prompts where none is named. */
const defaultPath = 'prompts'

type Asked = { path?: string | undefined }

/**
 * Where the prompts are: the path that was given, else that of the settings, from their file, else `./prompts`. Paths of prompts
 * count from `root`; a single file is called by its path below the usual folder where it lies in there.
 */
export async function placeOfPrompts(context: Context, { path }: Asked): Promise<{ root: string; target: string }> {
  const { settings, directory } = await context.project()
  const usual = settings.path === undefined ? resolve(context.cwd, defaultPath) : resolve(directory, settings.path)
  const target = path === undefined ? usual : resolve(context.cwd, path)
  if (!(await isFile(target))) return { root: target, target }
  return { root: isWithin(usual, target) && usual !== target ? usual : dirname(target), target }
}

async function isFile(path: string): Promise<boolean> {
  const found = await orNull(() => stat(path))
  return found?.isFile() ?? false
}

/**
 * Reads the prompt files of a folder, or the one file that is named. Throws a `CliError` that names the file where one cannot be
 * read, is not UTF-8 or is too large, and where there are none at all.
 */
export async function readLocalPrompts(context: Context, asked: Asked): Promise<LocalPrompts> {
  const local = await findLocalPrompts(context, asked)
  if (local.files.length > 0) return local
  throw new CliError(`There are no prompts in ${shownPath(context, local.root)}.`, {
    remedy: 'Put .md, .txt or .yaml files there (promptsync init writes an example), or name another folder: --path FOLDER',
  })
}

/** The same, without files where there are none, or no folder. A folder that was named must be there unless `named` says otherwise. */
export async function findLocalPrompts(
  context: Context,
  asked: Asked,
  { named = 'exists' }: { named?: 'exists' | 'may be missing' } = {},
): Promise<LocalPrompts> {
  const { root, target } = await placeOfPrompts(context, asked)
  if ((await orNull(() => stat(target))) === null) {
    if (asked.path === undefined || named === 'may be missing') return { root, files: [], sizeBytes: 0, isFile: false }
    throw new CliError(`There is no ${shownPath(context, target)}.`, { remedy: 'Name a folder of prompts: --path FOLDER' })
  }
  const paths = root === target ? await listFiles(context, root) : [slashed(relative(root, target))]
  context.output.progress(`Reading ${counted(paths.length, 'file')} …`)
  const files = await readAll(context, root, paths)
  context.output.progress(null)
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  return { root, files: files.map(({ path, content }) => ({ path, content })), sizeBytes, isFile: root !== target }
}

type Sized = LocalFile & { sizeBytes: number }

async function readAll(context: Context, root: string, paths: readonly string[]): Promise<Sized[]> {
  let [totalBytes, count] = [0, 0]
  return inParallel(paths, { atOnce: readsAtOnce, signal: context.signal }, async (path) => {
    const file = await readOne(context, join(root, path))
    totalBytes += file.sizeBytes
    count += 1
    if (count % 250 === 0) context.output.progress(`Reading ${count} of ${paths.length} files …`)
    if (totalBytes > maxTotalBytes) {
      throw new CliError(`The prompts in ${shownPath(context, root)} are over ${maxTotalBytes / 1024 ** 2} MiB together.`, {
        remedy: 'List files that are no prompts in .promptsyncignore.',
      })
    }
    return { path, ...file }
  })
}

async function readOne(context: Context, file: string): Promise<{ content: string; sizeBytes: number }> {
  const bytes = await readable(context, file, async () => {
    const { size } = await stat(file)
    if (size > maxFileBytes)
      throw new CliError(`${shownPath(context, file)} is over ${maxFileBytes / 1024} KiB.`, { remedy: 'Split the prompt.' })
    return readFile(file)
  })
  try {
    // A byte order mark stays: the server knows what to do with it.
    return { content: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), sizeBytes: bytes.length }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new CliError(`${shownPath(context, file)} is not UTF-8.`, { remedy: 'Save it as UTF-8.', cause: error })
  }
}
