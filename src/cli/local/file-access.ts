import { readFile } from 'node:fs/promises'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { shownPath } from './paths.js'

/** Does a read. Throws a `CliError` that names the file or folder where it cannot be read. */
export async function readable<T>(context: Context, path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (typeof code !== 'string' || error instanceof CliError) throw error
    const why = code === 'EACCES' || code === 'EPERM' ? 'you may not read it' : code
    throw new CliError(`${shownPath(context, path)} cannot be read: ${why}.`, {
      remedy: 'Make it readable, or list it in .promptsyncignore.',
      cause: error,
    })
  }
}

/** What is not there, or not to be seen, is null. */
export async function orNull<T>(look: () => Promise<T>): Promise<T | null> {
  try {
    return await look()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

/** A text, or null where there is no such file. */
export async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'EISDIR', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
