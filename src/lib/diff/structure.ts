import type { DiffChange } from './prompt-diff.js'

/** With more changes than this the whole is told as one. */
const maxChanges = 1_000
/** The same where their paths are longer than this together: a long key may stand above a thousand changes. */
const maxPathsLength = 200_000
/** What is nested deeper is compared as a whole. */
const maxDepth = 64
/** So deep values are laid out line by line, and those of more values than that by their first level only. */
const maxLineDepth = 8
const maxLineValues = 10_000

type Json = Record<string, unknown>

/**
 * How one JSON value differs from another: by key where both are objects, by index where both are lists, in the order of
 * `from` and then of what only `to` has. With more than a thousand changes, or very long paths, one of path `''` tells both
 * values whole. The order of keys does not count. Pure.
 */
export function diffValues(from: unknown, to: unknown): DiffChange[] {
  const changes: DiffChange[] = []
  collect(changes, from, to, '', 0)
  const pathsLength = changes.reduce((sum, { path }) => sum + path.length, 0)
  const isTooMuch = changes.length > maxChanges || pathsLength > maxPathsLength
  return isTooMuch ? [{ path: '', op: 'changed', from, to }] : changes
}

function collect(changes: DiffChange[], from: unknown, to: unknown, path: string, depth: number): void {
  if (changes.length > maxChanges) return
  if (!isJson(from) || !isJson(to) || Array.isArray(from) !== Array.isArray(to) || depth >= maxDepth) {
    if (JSON.stringify(from) !== JSON.stringify(to)) changes.push({ path, op: 'changed', from, to })
    return
  }
  for (const [key, value] of Object.entries(from)) {
    if (changes.length > maxChanges) return
    const inner = stepInto(path, key, from)
    if (Object.hasOwn(to, key)) collect(changes, value, to[key], inner, depth + 1)
    else changes.push({ path: inner, op: 'removed', from: value })
  }
  for (const [key, value] of Object.entries(to)) {
    if (!Object.hasOwn(from, key)) changes.push({ path: stepInto(path, key, to), op: 'added', to: value })
  }
}

/** An object or a list. */
function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null
}

function stepInto(path: string, key: string, container: Json): string {
  if (Array.isArray(container)) return `${path}[${key}]`
  if (!/^[\p{L}\p{N}_$-]+$/u.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

/**
 * Two JSON values as text with two spaces a level, each ended by a line feed, or empty where it is null. What is nested more
 * than eight levels deep stays in one line; so does all below the first level if one of the values is very large, for both
 * are laid out alike. Pure.
 */
export function layOut(from: unknown, to: unknown): { from: string; to: string } {
  const isLarge = countValues(from, maxLineValues) + countValues(to, maxLineValues) > maxLineValues
  const lineDepth = isLarge ? 1 : maxLineDepth
  const text = (value: unknown) => (value === null ? '' : `${toLines(value, '', lineDepth)}\n`)
  return { from: text(from), to: text(to) }
}

/** Counts no further than a little over `most`. */
function countValues(value: unknown, most: number): number {
  if (!isJson(value)) return 1
  let count = 1
  for (const inner of Object.values(value)) {
    if (count > most) break
    count += countValues(inner, most - count)
  }
  return count
}

function toLines(value: unknown, indent: string, lineDepth: number): string {
  if (lineDepth === 0 || !isJson(value)) return JSON.stringify(value)
  const deeper = `${indent}  `
  const isList = Array.isArray(value)
  const items = Object.entries(value).map(([key, inner]) => {
    const text = toLines(inner, deeper, lineDepth - 1)
    return `${deeper}${isList ? text : `${JSON.stringify(key)}: ${text}`}`
  })
  const [open, close] = isList ? '[]' : '{}'
  return items.length === 0 ? `${open}${close}` : `${open}\n${items.join(',\n')}\n${indent}${close}`
}
