import { isLineBreak, isSpace } from './python-case.js'

/** Python's texts are made of code points; JavaScript's of UTF-16 units. These work on the former. Pure; the callers pay. */

const surrogate = /[\ud800-\udfff]/

/** Where every code point is one unit, the engine's own operations are right, and fast. */
export function isPlain(text: string): boolean {
  return !surrogate.test(text)
}

export function lengthOfText(text: string): number {
  if (isPlain(text)) return text.length
  let length = 0
  for (const _ of text) length += 1
  return length
}

/** `text[from:to]` with indexes from 0 to the length. */
export function sliceText(text: string, from: number, to = Number.POSITIVE_INFINITY): string {
  if (isPlain(text)) return text.slice(from, Math.max(from, to))
  return Array.from(text).slice(from, Math.max(from, to)).join('')
}

/** The number of code points before a unit, and back. */
export function toCodePointIndex(text: string, unit: number): number {
  return lengthOfText(text.slice(0, unit))
}

const shortNeedle = 64

/**
 * The first occurrence at or after a unit, or -1. The engine's search can take the product of both lengths; a long needle is
 * searched with a table of its borders instead, in their sum.
 */
export function findText(text: string, needle: string, from = 0): number {
  if (needle.length <= shortNeedle) return text.indexOf(needle, from)
  return new LongNeedle(needle).find(text, from)
}

/** All occurrences that do not overlap, as units, at most `limit`. The needle is not empty. */
export function* occurrences(text: string, needle: string, limit = Number.POSITIVE_INFINITY): Generator<number> {
  const long = needle.length > shortNeedle ? new LongNeedle(needle) : null
  let at = 0
  for (let count = 0; count < limit; count += 1) {
    at = long ? long.find(text, at) : text.indexOf(needle, at)
    if (at === -1) return
    yield at
    at += needle.length
  }
}

export function findLastText(text: string, needle: string, end = text.length): number {
  if (needle.length > end) return -1
  if (needle.length <= shortNeedle) return text.lastIndexOf(needle, end - needle.length)
  // Searching both backwards is searching from the end.
  const reversed = (units: string) => units.split('').reverse().join('')
  const found = new LongNeedle(reversed(needle)).find(reversed(text.slice(0, end)), 0)
  return found === -1 ? -1 : end - found - needle.length
}

class LongNeedle {
  readonly #needle: string
  /** The length of the longest proper prefix that also ends at each unit. */
  readonly #borders: Uint32Array

  constructor(needle: string) {
    this.#needle = needle
    this.#borders = new Uint32Array(needle.length)
    for (let at = 1, length = 0; at < needle.length; at += 1) {
      while (length > 0 && needle.charCodeAt(at) !== needle.charCodeAt(length)) length = this.#borders[length - 1] ?? 0
      if (needle.charCodeAt(at) === needle.charCodeAt(length)) length += 1
      this.#borders[at] = length
    }
  }

  find(text: string, from: number): number {
    const needle = this.#needle
    for (let at = from, length = 0; at < text.length; at += 1) {
      while (length > 0 && text.charCodeAt(at) !== needle.charCodeAt(length)) length = this.#borders[length - 1] ?? 0
      if (text.charCodeAt(at) === needle.charCodeAt(length)) length += 1
      if (length === needle.length) return at - length + 1
    }
    return -1
  }
}

export type Side = 'both' | 'left' | 'right'

/** `strip`, `lstrip` and `rstrip`: of white space, or of any of the characters. */
export function strip(text: string, side: Side, characters: string | null): string {
  const set = characters === null ? null : new Set(characters)
  const isStripped = (character: string) => (set ? set.has(character) : isSpace(character))
  let start = 0
  let end = text.length
  while (side !== 'right' && start < end) {
    const character = String.fromCodePoint(text.codePointAt(start) ?? 0)
    if (!isStripped(character)) break
    start += character.length
  }
  while (side !== 'left' && end > start) {
    const character = lastCharacter(text, start, end)
    if (!isStripped(character)) break
    end -= character.length
  }
  return text.slice(start, end)
}

function lastCharacter(text: string, start: number, end: number): string {
  const pair = end - 2 >= start ? String.fromCodePoint(text.codePointAt(end - 2) ?? 0) : ''
  return pair.length === 2 ? pair : text.slice(end - 1, end)
}

export function splitLines(text: string, keepsEnds = false): string[] {
  const lines: string[] = []
  let start = 0
  for (let at = 0; at < text.length; at += 1) {
    if (!isLineBreak(text[at] ?? '')) continue
    const next = text[at] === '\r' && text[at + 1] === '\n' ? at + 2 : at + 1
    lines.push(text.slice(start, keepsEnds ? next : at))
    start = next
    at = next - 1
  }
  if (start < text.length) lines.push(text.slice(start))
  return lines
}

/** The words between runs of white space; once there are `limit` splits the rest is one, with the white space at its end. */
export function splitWords(text: string, limit: number): string[] {
  const words: string[] = []
  let at = 0
  for (;;) {
    while (at < text.length && isSpace(text[at] ?? '')) at += 1
    if (at >= text.length) return words
    if (words.length === limit) return [...words, text.slice(at)]
    const start = at
    while (at < text.length && !isSpace(text[at] ?? '')) at += 1
    words.push(text.slice(start, at))
  }
}

/** The same from the end. */
export function splitWordsFromEnd(text: string, limit: number): string[] {
  const words: string[] = []
  let end = text.length
  for (;;) {
    while (end > 0 && isSpace(text[end - 1] ?? '')) end -= 1
    if (end === 0) return words.reverse()
    if (words.length === limit) return [...words, text.slice(0, end)].reverse()
    const last = end
    while (end > 0 && !isSpace(text[end - 1] ?? '')) end -= 1
    words.push(text.slice(end, last))
  }
}
