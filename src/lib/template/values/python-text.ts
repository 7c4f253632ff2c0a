import { isSpaceUnit, lineBreakClass } from './python-case.js'

/** Python's texts are made of code points; JavaScript's of UTF-16 units. These work on the former. Pure; the callers pay. */

const surrogate = /[\ud800-\udfff]/

/** Where every code point is one unit, the engine's own operations are right, and fast. */
export function isPlain(text: string): boolean {
  return !surrogate.test(text)
}

const isHigh = (unit: number) => (unit & 0xfc00) === 0xd800
const isLow = (unit: number) => (unit & 0xfc00) === 0xdc00

export function lengthOfText(text: string): number {
  return isPlain(text) ? text.length : codePointsIn(text, text.length)
}

/** How many code points the first units are. */
function codePointsIn(text: string, units: number): number {
  let length = units
  for (let at = 1; at < units; at += 1) if (isLow(text.charCodeAt(at)) && isHigh(text.charCodeAt(at - 1))) length -= 1
  return length
}

/** The unit at which a code point begins, or the length where there are not so many. */
function unitAt(text: string, index: number): number {
  let unit = 0
  for (let count = 0; count < index && unit < text.length; count += 1) {
    unit += isHigh(text.charCodeAt(unit)) && isLow(text.charCodeAt(unit + 1)) ? 2 : 1
  }
  return unit
}

/** `text[from:to]` with indexes from 0 to the length. */
export function sliceText(text: string, from: number, to = Number.POSITIVE_INFINITY): string {
  // No code point is longer than two units, so that what follows need not be looked at.
  const head = to === Number.POSITIVE_INFINITY ? text : text.slice(0, 2 * to)
  if (isPlain(head)) return head.slice(from, Math.max(from, to))
  const start = unitAt(head, from)
  if (to === Number.POSITIVE_INFINITY) return head.slice(start)
  const rest = head.slice(start)
  return rest.slice(0, unitAt(rest, to - from))
}

/** `text[index]`, from the end where it is negative; undefined where there is none. */
export function characterAt(text: string, index: number): string | undefined {
  if (index >= 0) return sliceText(text, index, index + 1) || undefined
  // No code point is longer than two units.
  const tail = text.slice(2 * index)
  if (isPlain(tail)) return tail[tail.length + index]
  const at = lengthOfText(text) + index
  return at < 0 ? undefined : sliceText(text, at, at + 1)
}

/** A text backwards, by code points. */
export function reverseText(text: string): string {
  let result = ''
  let end = text.length
  while (end > 0) {
    let start = Math.max(0, end - unitsAtOnce)
    if (isLow(text.charCodeAt(start)) && isHigh(text.charCodeAt(start - 1))) start -= 1
    result += reversedUnits(text, start, end)
    end = start
  }
  return result
}

const unitsAtOnce = 8192

function reversedUnits(text: string, start: number, end: number): string {
  const units = new Uint16Array(end - start)
  let to = 0
  for (let at = end - 1; at >= start; at -= 1) {
    const unit = text.charCodeAt(at)
    if (isLow(unit) && at > start && isHigh(text.charCodeAt(at - 1))) {
      at -= 1
      units[to++] = text.charCodeAt(at)
    }
    units[to++] = unit
  }
  return String.fromCharCode.apply(null, units as unknown as number[])
}

/** The number of code points before a unit. */
export function toCodePointIndex(text: string, unit: number): number {
  return lengthOfText(text.slice(0, unit))
}

/** All occurrences of a text replaced by another; the engine's `replaceAll` is slower. */
export function substituted(text: string, old: string, replacement: string): string {
  return text.includes(old) ? text.split(old).join(replacement) : text
}

const adjusted = (unit: number) => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit)

/** By code points, as Python does; JavaScript compares UTF-16 units, which puts emoji before some letters. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  const end = Math.min(a.length, b.length)
  for (let at = 0; at < end; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)]
    if (x !== y) return adjusted(x) - adjusted(y)
  }
  return a.length - b.length
}

export type Side = 'both' | 'left' | 'right'

/** `strip`, `lstrip` and `rstrip`: of white space, or of any of the characters. */
export function strip(text: string, side: Side, characters: string | null): string {
  return characters === null ? stripSpace(text, side) : stripCharacters(text, side, new Set(characters))
}

/** All white space is of one unit. */
function stripSpace(text: string, side: Side): string {
  let start = 0
  let end = text.length
  while (side !== 'right' && start < end && isSpaceUnit(text.charCodeAt(start))) start += 1
  while (side !== 'left' && end > start && isSpaceUnit(text.charCodeAt(end - 1))) end -= 1
  return text.slice(start, end)
}

function stripCharacters(text: string, side: Side, characters: ReadonlySet<string>): string {
  let start = 0
  let end = text.length
  while (side !== 'right' && start < end) {
    const character = String.fromCodePoint(text.codePointAt(start) ?? 0)
    if (!characters.has(character)) break
    start += character.length
  }
  while (side !== 'left' && end > start) {
    const character = lastCharacter(text, start, end)
    if (!characters.has(character)) break
    end -= character.length
  }
  return text.slice(start, end)
}

export function lastCharacter(text: string, start = 0, end = text.length): string {
  const pair = end - 2 >= start ? String.fromCodePoint(text.codePointAt(end - 2) ?? 0) : ''
  return pair.length === 2 ? pair : text.slice(end - 1, end)
}

/** Told of each part that is made of a text. */
type Pay = () => void

const lineBreak = new RegExp(`\\r\\n|[${lineBreakClass}]`, 'gu')

export function splitLines(text: string, pay: Pay, keepsEnds = false): string[] {
  const lines: string[] = []
  const breaks = new RegExp(lineBreak)
  let start = 0
  for (let found = breaks.exec(text); found; found = breaks.exec(text)) {
    pay()
    lines.push(text.slice(start, keepsEnds ? breaks.lastIndex : found.index))
    start = breaks.lastIndex
  }
  if (start < text.length) lines.push(text.slice(start))
  return lines
}

/** The words between runs of white space; once there are `limit` splits the rest is one, with the white space at its end. */
export function splitWords(text: string, limit: number, pay: Pay): string[] {
  const words: string[] = []
  let at = 0
  for (;;) {
    while (at < text.length && isSpaceUnit(text.charCodeAt(at))) at += 1
    if (at >= text.length) return words
    if (words.length === limit) return [...words, text.slice(at)]
    const start = at
    while (at < text.length && !isSpaceUnit(text.charCodeAt(at))) at += 1
    pay()
    words.push(text.slice(start, at))
  }
}

/** The same from the end. */
export function splitWordsFromEnd(text: string, limit: number, pay: Pay): string[] {
  const words: string[] = []
  let end = text.length
  for (;;) {
    while (end > 0 && isSpaceUnit(text.charCodeAt(end - 1))) end -= 1
    if (end === 0) return words.reverse()
    if (words.length === limit) return [...words, text.slice(0, end)].reverse()
    const last = end
    while (end > 0 && !isSpaceUnit(text.charCodeAt(end - 1))) end -= 1
    pay()
    words.push(text.slice(end, last))
  }
}
