import { align, type Gap, gapsBetween } from './alignment.js'
import type { Effort } from './effort.js'
import type { DiffHunk, DiffLine, TextDiff } from './prompt-diff.js'
import { compareWords } from './words.js'

/** Lines around a change that are told along with it. */
const contextLines = 3

/**
 * Compares two texts line by line; null where they are equal. Only a line feed ends a line: what stands before it, a carriage
 * return say, is part of it. Where finding the changes takes too much work, everything between the common beginning and the
 * common end is told as replaced; where there are too many lines to tell, there are no hunks. Pure but for the effort.
 */
export function diffTexts(from: string, to: string, effort: Effort): TextDiff | null {
  if (from === to) return null
  const { before, after } = findShared(from, to)
  const rest = { from: from.slice(before, from.length - after), to: to.slice(before, to.length - after) }
  const [fromCount, toCount] = [countLines(rest.from), countLines(rest.to)]
  const untold = { added: toCount, removed: fromCount, hunks: [], isCoarse: true }
  if (!effort.readLines(fromCount + toCount)) return untold
  const lines = { from: splitLines(rest.from), to: splitLines(rest.to) }
  const { blocks, isCoarse } = align(lines.from, lines.to, effort)
  const gaps = gapsBetween(blocks, fromCount, toCount)
  const added = gaps.reduce((sum, gap) => sum + gap.toEnd - gap.to, 0)
  const removed = gaps.reduce((sum, gap) => sum + gap.fromEnd - gap.from, 0)
  if (!effort.tellLines(added + removed + Math.min(2 * contextLines * gaps.length, fromCount))) {
    return { added, removed, hunks: [], isCoarse: true }
  }
  const linesBefore = countLines(from.slice(0, before))
  const hunks = groupGaps(gaps).map((group) => moveDown(toHunk(lines, group, effort), linesBefore))
  return { added, removed, hunks, isCoarse }
}

/**
 * How many characters two texts begin and end with alike, in whole lines, but for the lines that are told around a change.
 * They need not be read line by line: a large text that differs little takes little work.
 */
function findShared(from: string, to: string): { before: number; after: number } {
  const shorter = Math.min(from.length, to.length)
  let same = 0
  while (same < shorter && from.charCodeAt(same) === to.charCodeAt(same)) same += 1
  const change = lineStart(from, same)
  let before = change
  for (let line = 0; line < contextLines && before > 0; line += 1) before = lineStart(from, before - 1)
  let alike = 0
  while (alike < shorter - change && from.charCodeAt(from.length - 1 - alike) === to.charCodeAt(to.length - 1 - alike)) alike += 1
  let end = from.length - alike
  // Of the first line only the end may be the same.
  for (let line = 0; line <= contextLines; line += 1) end = nextLine(from, end)
  return { before, after: from.length - end }
}

/** Where the line begins that holds the character at `at`. */
function lineStart(text: string, at: number): number {
  return at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1
}

function nextLine(text: string, at: number): number {
  const feed = text.indexOf('\n', at)
  return feed === -1 ? text.length : feed + 1
}

function moveDown(hunk: DiffHunk, lines: number): DiffHunk {
  return { ...hunk, fromLine: hunk.fromLine + lines, toLine: hunk.toLine + lines }
}

/** How many lines a text has; what follows the last line feed is one, if there is anything. Pure. */
export function countLines(text: string): number {
  let count = text === '' || text.endsWith('\n') ? 0 : 1
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1
  return count
}

/** The lines of a text, each with the line feed that ends it. */
function splitLines(text: string): string[] {
  const lines = text.split('\n')
  const last = lines.pop() ?? ''
  const ended = lines.map((line) => `${line}\n`)
  return last === '' ? ended : [...ended, last]
}

/** Changes so near to each other that the lines around them would meet are told together. */
function groupGaps(gaps: readonly Gap[]): Gap[][] {
  const groups: Gap[][] = []
  for (const gap of gaps) {
    const before = groups.at(-1)
    const last = before?.at(-1)
    if (before && last && gap.from - last.fromEnd <= 2 * contextLines) before.push(gap)
    else groups.push([gap])
  }
  return groups
}

type Lines = { from: readonly string[]; to: readonly string[] }

function toHunk(lines: Lines, gaps: readonly Gap[], effort: Effort): DiffHunk {
  const [first, last] = [gaps[0], gaps.at(-1)]
  if (!first || !last) throw new Error('A hunk has no change.')
  const before = Math.min(contextLines, first.from)
  const after = Math.min(contextLines, lines.from.length - last.fromEnd)
  const [fromStart, toStart] = [first.from - before, first.to - before]
  const [fromCount, toCount] = [last.fromEnd + after - fromStart, last.toEnd + after - toStart]
  const told: DiffLine[] = []
  let at = fromStart
  const tellSame = (end: number) => {
    for (const text of lines.from.slice(at, end)) told.push(toLine('same', text))
  }
  for (const gap of gaps) {
    tellSame(gap.from)
    told.push(...changedLines(lines, gap, effort))
    at = gap.fromEnd
  }
  tellSame(at + after)
  return { fromLine: lineNumber(fromStart, fromCount), fromCount, toLine: lineNumber(toStart, toCount), toCount, lines: told }
}

/** Unified diffs count from 1, and name the line before where there is none. */
function lineNumber(start: number, count: number): number {
  return count === 0 ? start : start + 1
}

function changedLines(lines: Lines, gap: Gap, effort: Effort): DiffLine[] {
  const removed = lines.from.slice(gap.from, gap.fromEnd).map((text) => toLine('removed', text))
  const added = lines.to.slice(gap.to, gap.toEnd).map((text) => toLine('added', text))
  const words = compareWords(
    removed.map(({ text }) => text),
    added.map(({ text }) => text),
    effort,
  )
  const withWords = (line: DiffLine, found: DiffLine['words']): DiffLine => (found ? { ...line, words: found } : line)
  return [
    ...removed.map((line, index) => withWords(line, words.removed.get(index))),
    ...added.map((line, index) => withWords(line, words.added.get(index))),
  ]
}

function toLine(kind: DiffLine['kind'], line: string): DiffLine {
  return line.endsWith('\n') ? { kind, text: line.slice(0, -1) } : { kind, text: line, noNewline: true }
}
