import { align, type Block, gapsBetween } from './alignment.js'
import type { Effort } from './effort.js'
import type { DiffWord } from './prompt-diff.js'

/** In longer lines no words are looked for. */
const maxLineLength = 2_000
/** Steps that the words of one pair of lines may take. */
const maxSteps = 20_000
/** A line is looked for among so many of the other side. */
const lookAhead = 6
/** Two lines count as one that changed if at least this share of what they hold is the same. */
const leastSimilarity = 0.4

/** Scripts without spaces between words: they are compared by character. */
const unspaced = ['Han', 'Hiragana', 'Katakana', 'Thai', 'Lao', 'Khmer', 'Myanmar']
  .map((script) => `\\p{Script=${script}}`)
  .join('')

/** A decimal number, a character of those scripts, a word, a run of spaces, or whatever else, halves of surrogate pairs included. */
const word = new RegExp(String.raw`\d+(?:\.\d+)+|[${unspaced}]\p{M}*|(?:(?![${unspaced}])[\p{L}\p{N}\p{M}_])+|\s+|.`, 'gsu')

/** The words, spaces and other characters of a text, which together are that text. Pure. */
export function splitWords(text: string): string[] {
  return text.match(word) ?? []
}

/** The share of words that two lists have in common, 0 to 1; spaces do not count. Pure. */
export function similarity(from: readonly string[], to: readonly string[]): number {
  const counts = new Map<string, number>()
  let [total, shared] = [0, 0]
  for (const item of from) {
    if (isSpace(item)) continue
    total += 1
    counts.set(item, (counts.get(item) ?? 0) + 1)
  }
  for (const item of to) {
    if (isSpace(item)) continue
    total += 1
    const left = counts.get(item) ?? 0
    if (left > 0) shared += 1
    counts.set(item, left - 1)
  }
  return total === 0 ? 1 : (2 * shared) / total
}

/**
 * Finds for what was removed what was probably put in its place: pairs of indexes, in order on both sides. `likeness` is 0
 * to 1; what is not similar enough stays alone. Pure.
 */
export function pairUp<T>(
  removed: readonly T[],
  added: readonly T[],
  likeness: (from: T, to: T) => number,
): [from: number, to: number][] {
  const pairs: [number, number][] = []
  let next = 0
  for (const [index, item] of removed.entries()) {
    let best = { at: -1, likeness: leastSimilarity }
    for (const [ahead, other] of added.slice(next, next + lookAhead).entries()) {
      const found = likeness(item, other)
      if (found > best.likeness || (best.at === -1 && found === best.likeness)) best = { at: next + ahead, likeness: found }
    }
    if (best.at === -1) continue
    pairs.push([index, best.at])
    next = best.at + 1
  }
  return pairs
}

/** The words of lines that changed, by their index; lines that no other was found for have none. */
export type ChangedWords = { removed: Map<number, DiffWord[]>; added: Map<number, DiffWord[]> }

/** Compares lines that were removed with those that were added in their place. Pure but for the effort. */
export function compareWords(removed: readonly string[], added: readonly string[], effort: Effort): ChangedWords {
  const changed: ChangedWords = { removed: new Map(), added: new Map() }
  if (removed.length === 0 || added.length === 0) return changed
  const from = removed.map((line) => wordsOnce(line, effort))
  const to = added.map((line) => wordsOnce(line, effort))
  const likeness = (one: LineWords, other: LineWords) => {
    const [a, b] = [one(), other()]
    return a && b && effort.readWords((a.length + b.length) / 4) ? similarity(a, b) : 0
  }
  for (const [a, b] of pairUp(from, to, likeness)) {
    const [left, right] = [from[a]?.() ?? [], to[b]?.() ?? []]
    const { blocks, isCoarse } = align(left, right, effort, maxSteps)
    if (isCoarse) continue
    const same = withoutLoneSpaces(blocks, left, right)
    changed.removed.set(a, piecesOf(left, same, 'from'))
    changed.added.set(b, piecesOf(right, same, 'to'))
  }
  return changed
}

/** The words of a line, or null for one that is too long, or that there is no room for any more. */
type LineWords = () => string[] | null

/** Looked for when they are needed first: where not all lines can be looked at, the first ones are. */
function wordsOnce(line: string, effort: Effort): LineWords {
  let words: string[] | null | undefined
  return () => {
    if (words === undefined) words = line.length <= maxLineLength && effort.readWords(line.length / 4) ? splitWords(line) : null
    return words
  }
}

/** A space that stays the same between two words that do not reads better as part of the change. */
function withoutLoneSpaces(blocks: readonly Block[], from: readonly string[], to: readonly string[]): Block[] {
  const gaps = gapsBetween(blocks, from.length, to.length)
  const begins = new Set(gaps.map(({ fromEnd, toEnd }) => `${fromEnd} ${toEnd}`))
  const ends = new Set(gaps.map((gap) => `${gap.from} ${gap.to}`))
  return blocks.filter((block) => {
    const isBetween = begins.has(`${block.from} ${block.to}`) && ends.has(`${block.from + block.count} ${block.to + block.count}`)
    return !isBetween || !from.slice(block.from, block.from + block.count).every(isSpace)
  })
}

function piecesOf(words: readonly string[], same: readonly Block[], side: 'from' | 'to'): DiffWord[] {
  const pieces: DiffWord[] = []
  let at = 0
  const add = (kind: DiffWord['kind'], end: number) => {
    if (end <= at) return
    const text = words.slice(at, end).join('')
    const last = pieces.at(-1)
    // Where only the other side has something in between, two pieces that are the same meet.
    if (last?.kind === kind) last.text += text
    else pieces.push({ kind, text })
    at = end
  }
  for (const block of same) {
    add('changed', block[side])
    add('same', block[side] + block.count)
  }
  add('changed', words.length)
  return pieces
}

function isSpace(item: string): boolean {
  return /^\s/.test(item)
}
