import { lineRange } from '../template/excerpt.js'
import { isMapping } from './yaml.js'

/** A stretch of a text, and where in the file it stands. */
export type Run = { at: number; from: number; length: number }

/** The text of a field, and the stretches of it that the file holds as they are, in their order. */
export type MappedText = { text: string; runs: Run[] }

export type FieldPath = (string | number)[]

/** Finds the text of a field in the file it was read from, or null where its place is not known. */
export type Origin = (path: FieldPath) => MappedText | null

export type FilePosition = { line: number; column: number }

/** The fields of a prompt that hold text of its own: `content`, `variants[0].messages[1].content`. */
const textField = /^(?:variants\[(\d{1,6})\]\.)?(?:messages\[(\d{1,6})\]\.)?content$/

/** A text that stands in the file as it is. */
export function verbatim(file: string, from: number, length: number): MappedText {
  return { text: file.slice(from, from + length), runs: [{ at: 0, from, length }] }
}

/**
 * The place in the file of a position in a field of what was read from it. All count from 1, columns in UTF-16 units. Null
 * where the place is not known for certain: a wrong line is worse than none.
 */
export function locateInFile(
  file: string,
  fields: Record<string, unknown>,
  origin: Origin,
  field: string,
  at: FilePosition,
): FilePosition | null {
  const path = pathOf(field)
  const text = path && valueAt(fields, path)
  if (!path || typeof text !== 'string') return null
  const mapped = origin(path)
  if (mapped?.text !== text) return null
  const range = lineRange(mapped.text, at.line)
  const start = range.start + at.column - 1
  if (range.line !== at.line || !(start >= range.start && start <= range.end)) return null
  const offset = offsetInFile(mapped.runs, start)
  return offset === null ? null : positionAt(file, offset)
}

function pathOf(field: string): FieldPath | null {
  const match = textField.exec(field)
  if (!match) return null
  const [, variant, message] = match
  return [
    ...(variant === undefined ? [] : ['variants', Number(variant)]),
    ...(message === undefined ? [] : ['messages', Number(message)]),
    'content',
  ]
}

function valueAt(fields: Record<string, unknown>, path: FieldPath): unknown {
  let value: unknown = fields
  for (const step of path) {
    if (Array.isArray(value) && typeof step === 'number') value = value[step]
    else if (isMapping(value) && Object.hasOwn(value, step)) value = value[step]
    else return undefined
  }
  return value
}

/** What stands between the stretches, such as an empty line of a folded text, has no certain place. */
function offsetInFile(runs: Run[], offset: number): number | null {
  const run = runs.findLast(({ at }) => at <= offset)
  return run && offset - run.at <= run.length ? run.from + offset - run.at : null
}

function positionAt(file: string, offset: number): FilePosition {
  let line = 1
  let start = 0
  for (const { 0: text, index } of file.matchAll(/\r\n?|\n/g)) {
    if (index + text.length > offset) break
    line += 1
    start = index + text.length
  }
  return { line, column: offset - start + 1 }
}
