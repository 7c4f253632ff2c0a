/** How many characters of a line are shown; with a line number on both lines an excerpt stays below 300 characters. */
const shownCharacters = 90
const lineBreak = /\r\n?|\n/g
/** Formatting characters that join letters and emoji; all others can hide or turn around what stands beside them. */
const joiners = new Set(['\u200c', '\u200d'])

/** A line, counted from 1, and where in the source it begins and ends. */
export type LineRange = { line: number; start: number; end: number }

/** Lines end at "\n", "\r\n" and "\r" alike. For a line that the source does not have, the last one. */
export function lineRange(source: string, line: number): LineRange {
  let number = 1
  let start = 0
  lineBreak.lastIndex = 0
  for (let found = lineBreak.exec(source); found; found = lineBreak.exec(source)) {
    if (number >= line) return { line: number, start, end: found.index }
    number += 1
    start = lineBreak.lastIndex
  }
  return { line: number, start, end: source.length }
}

/**
 * The line of a position, and below it a caret. Both count from 1, the column in UTF-16 units. `shownLine` is the number of
 * the line where the source is a part of a file.
 */
export function excerptAt(source: string, line: number, column: number, shownLine?: number): string {
  const range = lineRange(source, line)
  const { before, after, isCutLeft, isCutRight } = windowAt(source, range, column)
  const text = [isCutLeft ? '…' : '', ...before.map(visible), ...after.map(visible), isCutRight ? '…' : ''].join('')
  const number = String(shownLine ?? range.line)
  const caret = ' '.repeat(before.length + Number(isCutLeft))
  return `${`${number} | ${text}`.trimEnd()}\n${' '.repeat(number.length)} | ${caret}^`
}

/** The characters on both sides of a position, as many as are shown; the side that has fewer leaves room to the other. */
function windowAt(source: string, { start, end }: LineRange, column: number) {
  const at = characterStart(source, Math.min(start + Math.max(0, column - 1), end))
  // A character is two units at most.
  const left = characterStart(source, Math.max(start, at - 2 * shownCharacters))
  const right = Math.min(end, at + 2 * shownCharacters)
  const allBefore = [...source.slice(left, at)]
  const allAfter = [...source.slice(at, right)]
  const wanted = Math.max(shownCharacters / 2, shownCharacters - allAfter.length)
  const before = allBefore.slice(Math.max(0, allBefore.length - wanted))
  const after = allAfter.slice(0, shownCharacters - before.length)
  return {
    before,
    after,
    isCutLeft: left > start || before.length < allBefore.length,
    isCutRight: right < end || after.length < allAfter.length,
  }
}

/** An offset within a surrogate pair is that of the pair. */
function characterStart(source: string, offset: number): number {
  const isWithin = /[\udc00-\udfff]/.test(source.charAt(offset)) && /[\ud800-\udbff]/.test(source.charAt(offset - 1))
  return isWithin ? offset - 1 : offset
}

/** One character for one, so that the caret stands right. */
function visible(character: string): string {
  if (character === '\t') return ' '
  if (character === '\x7f') return '\u2421'
  if (character < ' ') return String.fromCharCode(0x2400 + character.charCodeAt(0))
  return /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(character) && !joiners.has(character) ? '\ufffd' : character
}
