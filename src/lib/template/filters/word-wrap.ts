import type { Context } from '../values/operations.js'
import { isAlphanumeric, isDecimal, isSpace } from '../values/python-case.js'

/** Python's `textwrap`, of one line: words and runs of white space are put together as long as they fit. */

export type WrapOptions = { width: number; breaksLongWords: boolean; breaksOnHyphens: boolean }

type Characters = readonly string[]

/** A stretch of the characters. */
type Chunk = { start: number; end: number }

const isBreakable = (character: string | undefined) => character !== undefined && '\t\n\v\f\r '.includes(character)
const isWordCharacter = (character: string | undefined) =>
  character !== undefined && (character === '_' || isAlphanumeric(character))
const isWordLetter = (character: string | undefined) => isWordCharacter(character) && !isDecimal(character ?? '')
const endsWord = (character: string | undefined) =>
  isWordCharacter(character) || (character !== undefined && '!"\'&.,?'.includes(character))

export function wrap(context: Context, line: string, options: WrapOptions): string[] {
  context.budget.step(Math.floor(line.length / 4))
  const characters = Array.from(line)
  const chunks = chunksOf(context, characters, options.breaksOnHyphens)
  const lines: string[] = []
  let next = 0
  while (next < chunks.length) {
    context.budget.step()
    if (lines.length > 0 && isBlank(characters, chunks[next])) next += 1
    const taken: Chunk[] = []
    let length = 0
    for (; next < chunks.length; next += 1) {
      const chunk = chunks[next] as Chunk
      if (length + chunk.end - chunk.start > options.width) break
      taken.push(chunk)
      length += chunk.end - chunk.start
    }
    const long = chunks[next]
    if (long && long.end - long.start > options.width) {
      const head = headOf(characters, long, options, options.width - length, taken.length === 0)
      // Nothing of the word, too, stands between the line and the white space at its end, which is then kept.
      if (options.breaksLongWords || head > long.start) taken.push({ start: long.start, end: head })
      long.start = head
      if (head === long.end) next += 1
    }
    if (isBlank(characters, taken.at(-1))) taken.pop()
    if (taken.length > 0) lines.push(textOf(characters, taken))
  }
  return lines
}

function textOf(characters: Characters, chunks: readonly Chunk[]): string {
  const [first, last] = [chunks[0], chunks.at(-1)]
  return characters.slice(first?.start, last?.end).join('')
}

function isBlank(characters: Characters, chunk: Chunk | undefined): boolean {
  if (!chunk) return false
  for (let at = chunk.start; at < chunk.end; at += 1) if (!isSpace(characters[at] ?? '')) return false
  return true
}

/** Where a word ends that is longer than a whole line: all of it if it must not be broken and stands alone. */
function headOf(characters: Characters, word: Chunk, options: WrapOptions, room: number, isAlone: boolean): number {
  if (!options.breaksLongWords) return isAlone ? word.end : word.start
  const end = word.start + room
  if (!options.breaksOnHyphens || word.end - word.start <= room) return Math.min(end, word.end)
  let hyphen = end - 1
  while (hyphen > word.start && characters[hyphen] !== '-') hyphen -= 1
  const hasOther = characters.slice(word.start, Math.max(hyphen, word.start)).some((character) => character !== '-')
  return hyphen > word.start && hasOther ? hyphen + 1 : end
}

function chunksOf(context: Context, characters: Characters, breaksOnHyphens: boolean): Chunk[] {
  const chunks: Chunk[] = []
  for (let start = 0; start < characters.length; ) {
    context.budget.step()
    const end = isBreakable(characters[start])
      ? runEnd(characters, start, isBreakable)
      : breaksOnHyphens
        ? wordEnd(characters, start)
        : runEnd(characters, start, (character) => !isBreakable(character))
    chunks.push({ start, end })
    start = end
  }
  return chunks
}

function runEnd(characters: Characters, start: number, isPart: (character: string) => boolean): number {
  let end = start
  while (end < characters.length && isPart(characters[end] ?? '')) end += 1
  return end
}

/** The end of a dash between words that begins here, or -1. */
function dashEnd(characters: Characters, start: number): number {
  if (characters[start] !== '-' || characters[start + 1] !== '-' || !endsWord(characters[start - 1])) return -1
  const end = runEnd(characters, start, (character) => character === '-')
  return isWordCharacter(characters[end]) ? end : -1
}

function wordEnd(characters: Characters, start: number): number {
  const dash = dashEnd(characters, start)
  if (dash !== -1) return dash
  for (let at = start + 1; at < characters.length; at += 1) {
    if (isHyphen(characters, at)) return at + 1
    if (isBreakable(characters[at]) || dashEnd(characters, at) !== -1) return at
  }
  return characters.length
}

/** A hyphen after two letters, or after a letter, a hyphen and a letter, and before letters. */
function isHyphen(characters: Characters, at: number): boolean {
  if (characters[at] !== '-' || !isWordLetter(characters[at - 1])) return false
  const before = isWordLetter(characters[at - 2]) || (characters[at - 2] === '-' && isWordLetter(characters[at - 3]))
  if (!before || !isWordLetter(characters[at + 1])) return false
  return isWordLetter(characters[at + 2]) || (characters[at + 2] === '-' && isWordLetter(characters[at + 3]))
}
