import { randomBytes } from 'node:crypto'
import { TextDecoder } from 'node:util'
import { parse as parseJson } from 'secure-json-parse'
import { AppError } from '../errors.js'
import { maxDepth } from './nesting.js'
import type { Pause } from './slices.js'
import { findUnstorable } from './text.js'

/** Where one object of a top-level list stands, in bytes, and whether an escape in it may spell what is no text. */
type Range = { start: number; end: number; isSuspect: boolean }

/** What one pass over the bytes finds: the list elements, and the first number that would not be kept. */
type Scan = { elements: Range[]; isSuspectOutside: boolean; lostNumber: { literal: string; at: number } | null }

const quote = 0x22
const comma = 0x2c
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const minus = 0x2d
const zero = 0x30
const nine = 0x39
const numberBytes = new Set([...'0123456789+-.eE'].map((character) => character.charCodeAt(0)))
/** A shorter literal without an exponent is always kept. */
const keptLength = 16
/** Longer literals are judged by their beginning: as integers they are lost anyway. */
const maxLiteralLength = 400
const chunkBytes = 64 * 1024

/** Each element is parsed in one go, and so is all that stands outside of elements: neither may be large. */
const maxElements = 40_000
const maxElementBytes = 4 * 1024 ** 2
const maxOutsideBytes = 4 * 1024 ** 2
const maxOutsideValues = 50_000

/**
 * Parses a JSON body of any size without holding the event loop: one scan over the bytes bounds the nesting and finds
 * the objects in the lists of the top-level object, each of which is then parsed by itself. Throws `AppError`s.
 */
export async function parseJsonBody(bytes: Uint8Array, pause: Pause): Promise<unknown> {
  if (bytes.length === 0) throw new AppError('body.malformed', 'The body is empty. Send a JSON object.')
  const { elements, isSuspectOutside, lostNumber } = await scan(bytes, pause)
  const nonce = elements.length === 0 ? '' : randomBytes(9).toString('base64')
  const skeleton = parseText(await skeletonOf(bytes, elements, nonce, pause), 0)
  const values: unknown[] = []
  const suspects: { value: unknown; index: number }[] = []
  for (const [index, { start, end, isSuspect }] of elements.entries()) {
    const value = parseText(decodePiece(bytes, start, end), start)
    values.push(value)
    if (isSuspect) suspects.push({ value, index })
    await pause()
  }
  if (lostNumber) {
    const { literal, at } = lostNumber
    throw new AppError('text.invalid', `The number ${literal} at byte ${at} is too large to be kept exactly. Send it as text.`)
  }
  if (isSuspectOutside) refuseUnstorable(skeleton, '')
  const places = fill(skeleton, values, nonce)
  for (const { value, index } of suspects) {
    refuseUnstorable(value, places[index] ?? '')
    await pause()
  }
  return skeleton
}

function refuseUnstorable(value: unknown, path: string): void {
  const finding = findUnstorable(value, path)
  if (finding) throw new AppError('text.invalid', finding.message, { errors: [finding] })
}

/** Follows strings, numbers and brackets only; everything else is left to the parser. */
async function scan(bytes: Uint8Array, pause: Pause): Promise<Scan> {
  const result: Scan = { elements: [], isSuspectOutside: false, lostNumber: null }
  const open: number[] = []
  let element: Range | null = null
  let elementBytes = 0
  let outsideValues = 0
  let inString = false
  // Small bodies do not wait for their turn.
  let nextPause = chunkBytes
  for (let index = 0; index < bytes.length; index += 1) {
    if (index >= nextPause) {
      await pause()
      nextPause = index + chunkBytes
    }
    const byte = bytes[index] ?? 0
    if (inString) {
      if (byte === backslash) {
        if (isSuspectEscape(bytes, index)) {
          if (element) element.isSuspect = true
          else result.isSuspectOutside = true
        }
        index += 1
      } else if (byte === quote) inString = false
    } else if (byte === quote) inString = true
    else if (byte === comma) {
      if (!element) outsideValues += 1
    } else if (byte >= zero && byte <= nine) {
      const literal = numberAt(bytes, index)
      const beginsNumber = index === 0 || bytes[index - 1] === minus || !numberBytes.has(bytes[index - 1] ?? 0)
      if (beginsNumber && isLost(literal)) result.lostNumber ??= { literal: literal.slice(0, 40), at: index }
      index += literal.length - 1
    } else if (byte === openBrace || byte === openBracket) {
      if (isListElement(open) && byte === openBrace) element = { start: index, end: index, isSuspect: false }
      else if (!element) outsideValues += 1
      open.push(byte)
      if (open.length > maxDepth) {
        throw new AppError('body.nesting', `The body is nested over ${maxDepth} levels deep at byte ${index}. Flatten it.`)
      }
    } else if (byte === closeBrace || byte === closeBracket) {
      const opened = open.pop()
      if (opened === undefined || opened + 2 !== byte) throw malformed(`a closing bracket does not match at byte ${index}`)
      if (element && isListElement(open)) {
        element.end = index + 1
        elementBytes += boundElement(element, result.elements)
        element = null
      }
    }
  }
  if (inString || open.length > 0) throw malformed('it ends before it is complete')
  // Commas between elements are outside of them; each element has one.
  if (outsideValues - result.elements.length > maxOutsideValues || bytes.length - elementBytes > maxOutsideBytes) {
    const bounds = `${maxOutsideValues} values or ${maxOutsideBytes / 1024 ** 2} MiB`
    throw new AppError('body.too_complex', `The body holds more than ${bounds} outside of its lists of objects. Send less.`)
  }
  return result
}

/** Keeps an element that is not too large and not one too many; answers its size. */
function boundElement(element: Range, elements: Range[]): number {
  const sizeBytes = element.end - element.start
  if (sizeBytes > maxElementBytes) {
    throw new AppError(
      'content.too_large',
      `The list element at byte ${element.start} is over ${maxElementBytes / 1024 ** 2} MiB. Split it.`,
    )
  }
  elements.push(element)
  if (elements.length > maxElements) {
    throw new AppError('body.too_complex', `The lists of the body hold more than ${maxElements} elements. Split the request.`)
  }
  return sizeBytes
}

function numberAt(bytes: Uint8Array, start: number): string {
  let end = start + 1
  while (end - start < maxLiteralLength && numberBytes.has(bytes[end] ?? 0)) end += 1
  return Buffer.from(bytes.subarray(start, end)).toString('latin1')
}

/** Integers written out lose digits beyond 2^53; anything over 1.8e308 becomes infinite. */
function isLost(literal: string): boolean {
  if (literal.length < keptLength && !/e/i.test(literal)) return false
  const value = Number(literal)
  return value === Number.POSITIVE_INFINITY || (/^\d+$/.test(literal) && !Number.isSafeInteger(value))
}

function isListElement(open: number[]): boolean {
  return open.length === 2 && open[0] === openBrace && open[1] === openBracket
}

/** `\u0000` and `\ud800`–`\udfff`: the only ways in which JSON can spell what a text cannot hold. */
function isSuspectEscape(bytes: Uint8Array, index: number): boolean {
  if (bytes[index + 1] !== 0x75) return false
  const digits = String.fromCharCode(...bytes.subarray(index + 2, index + 6)).toLowerCase()
  return digits === '0000' || /^d[89a-f]/.test(digits)
}

/** The body with each found element replaced by a text that no client can have foreseen. */
async function skeletonOf(bytes: Uint8Array, elements: Range[], nonce: string, pause: Pause): Promise<string> {
  const pieces: string[] = []
  let at = 0
  for (const [index, { start, end }] of elements.entries()) {
    pieces.push(decodePiece(bytes, at, start), `"${nonce}${index}"`)
    at = end
    await pause()
  }
  return pieces.join('') + decodePiece(bytes, at, bytes.length)
}

/** Puts the elements into their places and answers the path of each. */
function fill(skeleton: unknown, values: unknown[], nonce: string): string[] {
  const places: string[] = []
  if (values.length === 0 || typeof skeleton !== 'object' || skeleton === null) return places
  for (const [key, list] of Object.entries(skeleton)) {
    if (!Array.isArray(list)) continue
    for (const [position, item] of list.entries()) {
      if (typeof item !== 'string' || !item.startsWith(nonce)) continue
      const index = Number(item.slice(nonce.length))
      list[position] = values[index]
      places[index] = `${key}[${position}]`
    }
  }
  return places
}

/** A byte order mark counts only at the very start, where the parser strips it. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodePiece(bytes: Uint8Array, start: number, end: number): string {
  if (start === end) return ''
  try {
    return decoder.decode(bytes.subarray(start, end))
  } catch (cause) {
    throw new AppError('body.encoding', 'The body is not valid UTF-8. Encode it as UTF-8 and send it again.', { cause })
  }
}

function parseText(text: string, offset: number): unknown {
  try {
    return parseJson(text)
  } catch (cause) {
    // V8 quotes a piece of the body, which does not belong in an error.
    const reason = (cause as Error).message
      .replace(/(,? (\.\.\.)?"| in JSON| \(line ).*$/s, '')
      .replace(/ is not valid JSON.*$/s, '')
    throw malformed(
      `${reason.charAt(0).toLowerCase()}${reason.slice(1)}${offset > 0 ? ` in the list element at byte ${offset}` : ''}`,
      cause,
    )
  }
}

function malformed(reason: string, cause?: unknown): AppError {
  return new AppError('body.malformed', `The body is not valid JSON: ${reason}.`, { cause })
}
