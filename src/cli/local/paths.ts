import { relative, resolve, sep } from 'node:path'
import type { Context } from '../context.js'

/** A path as it can be typed here. */
export function shownPath({ cwd }: Pick<Context, 'cwd'>, path: string): string {
  const shown = relative(cwd, path)
  return shown === '' ? '.' : shown.startsWith(`..${sep}..${sep}..`) ? path : shown
}

/** Whether a path is the folder or lies in it. */
export function isWithin(folder: string, path: string): boolean {
  const inner = relative(folder, path)
  return inner === '' || (inner !== '..' && !inner.startsWith(`..${sep}`) && resolve(folder, inner) === path)
}

/** With "/" between the folders, on every platform. Pure. */
export function slashed(path: string): string {
  return sep === '/' ? path : path.replaceAll(sep, '/')
}
