import type { Finding } from '../../errors.js'
import { didYouMean } from '../suggest.js'

/** A name that is none of the known ones, and may be a slip of the hand. */
export type Slip = { name: string; known: Iterable<string> }

/** What is wrong with a file, and what is doubtful. Places are offsets in its text, and are turned into lines and columns. */
export type Findings = {
  readonly errors: readonly Finding[]
  readonly warnings: readonly Finding[]
  /** `path` names the place in the file's structure, `routes[0].pattern` say. */
  error(offset: number, path: string, message: string, slip?: Slip): void
  warn(offset: number, path: string, message: string, slip?: Slip): void
}

/** Nobody corrects more at once, and a hostile file would make one of every line. */
const maxFindings = 50
const maxQuotedLength = 60
const maxPathLength = 200
/** Comparing is slow, and each finding may ask for it. */
const maxCompared = 50

export function createFindings(text: string): Findings {
  const lineStarts = lineStartsOf(text)
  const errors: Finding[] = []
  const warnings: Finding[] = []
  const adderTo = (list: Finding[]) => (offset: number, path: string, message: string, slip?: Slip) => {
    if (list.length >= maxFindings) return
    const remedy = slip ? didYouMean(slip.name, [...slip.known].slice(0, maxCompared)) : ''
    const place = placeOf(lineStarts, Math.min(Math.max(offset, 0), text.length))
    list.push({ path: storable(path.slice(0, maxPathLength)), message: storable(message + remedy), ...place })
  }
  return { errors, warnings, error: adderTo(errors), warn: adderTo(warnings) }
}

/** A text of the file as a message may show it: on one line, and not too much of it. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > maxQuotedLength ? `${text.slice(0, maxQuotedLength)}…` : text)
}

/** Findings are kept in the database, which takes neither of the two. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd')
}

function lineStartsOf(text: string): number[] {
  return [0, ...Array.from(text.matchAll(/\r\n?|\n/g), ({ 0: lineBreak, index }) => index + lineBreak.length)]
}

/** Both count from 1. */
function placeOf(lineStarts: readonly number[], offset: number): { line: number; column: number } {
  let low = 0
  let high = lineStarts.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((lineStarts[middle] ?? 0) <= offset) low = middle
    else high = middle
  }
  return { line: low + 1, column: offset - (lineStarts[low] ?? 0) + 1 }
}
