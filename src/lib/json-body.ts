import { randomBytes } from 'node:crypto'
import { TextDecoder } from 'node:util'
import { parse as parseJson } from 'secure-json-parse'
import { AppError } from '../errors.js'
import type { Pause } from './slices.js'
import { findUnstorable } from './text.js'

export const maxDepth = 64

/** Where one object of a top-level list stands, in bytes. */
type Range = { start: number; end: number }

/** What one pass over the bytes finds: escapes that may spell no text, and the first number that would not be kept. */
type Scan = { elements: Range[]; hasSuspectEscape: boolean; lostNumber: { literal: string; at: number } | null }

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const zero = 0x30
const nine = 0x39
/** A shorter literal without an exponent is always kept. */
const keptLength = 16
const numberBytes = new Set([...'0123456789+-.eE'].map((character) => character.charCodeAt(0)))
const chunkBytes = 64 * 1024

/**
 * Parses a JSON body of any size without holding the event loop: one scan over the bytes bounds the nesting and finds
 * the objects in the lists of the top-level object, each of which is then parsed by itself. Throws `AppError`s.
 */
export async function parseJsonBody(bytes: Uint8Array, pause: Pause): Promise<unknown> {
  if (bytes.length === 0) throw new AppError('body.malformed', 'The body is empty. Send a JSON object.')
  const { elements, hasSuspectEscape, lostNumber } = await scan(bytes, pause)
  // A byte order mark counts only at the very start, where the parser strips it.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const parsePiece = (start: number, end: number) => parseText(decodePiece(decoder, bytes, start, end), start)

  const nonce = randomBytes(9).toString('base64')
  const skeleton = parseText(skeletonOf(decoder, bytes, elements, nonce), 0)
  const values: unknown[] = []
  for (const { start, end } of elements) {
    values.push(parsePiece(start, end))
    await pause()
  }
  const body = fill(skeleton, values, nonce)
  if (lostNumber) {
    const { literal, at } = lostNumber
    throw new AppError('text.invalid', `The number ${literal} at byte ${at} is too large to be kept exactly. Send it as text.`)
  }
  const finding = hasSuspectEscape ? findUnstorable(body) : null
  if (finding) throw new AppError('text.invalid', finding.message, { errors: [finding] })
  return body
}

/** Follows strings, numbers and brackets only; everything else is left to the parser. */
async function scan(bytes: Uint8Array, pause: Pause): Promise<Scan> {
  const result: Scan = { elements: [], hasSuspectEscape: false, lostNumber: null }
  const open: number[] = []
  let inString = false
  let start = 0
  for (let index = 0; index < bytes.length; index += 1) {
    if (index % chunkBytes === 0) await pause()
    const byte = bytes[index] ?? 0
    if (inString) {
      if (byte === backslash) {
        result.hasSuspectEscape ||= isSuspectEscape(bytes, index)
        index += 1
      } else if (byte === quote) inString = false
    } else if (byte === quote) inString = true
    else if (byte >= zero && byte <= nine) {
      const literal = numberAt(bytes, index)
      if (isLost(literal)) result.lostNumber ??= { literal: literal.slice(0, 40), at: index }
      index += literal.length - 1
    } else if (byte === openBrace || byte === openBracket) {
      if (isListElement(open) && byte === openBrace) start = index
      open.push(byte)
      if (open.length > maxDepth) {
        throw new AppError('body.nesting', `The body is nested over ${maxDepth} levels deep at byte ${index}. Flatten it.`)
      }
    } else if (byte === closeBrace || byte === closeBracket) {
      const opened = open.pop()
      if (opened === undefined || opened + 2 !== byte) throw malformed(`a closing bracket does not match at byte ${index}`)
      if (isListElement(open) && byte === closeBrace) result.elements.push({ start, end: index + 1 })
    }
  }
  if (inString || open.length > 0) throw malformed('it ends before it is complete')
  return result
}

function numberAt(bytes: Uint8Array, start: number): string {
  let end = start + 1
  while (numberBytes.has(bytes[end] ?? 0)) end += 1
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
function skeletonOf(decoder: TextDecoder, bytes: Uint8Array, elements: Range[], nonce: string): string {
  let text = ''
  let at = 0
  for (const [index, { start, end }] of elements.entries()) {
    text += `${decodePiece(decoder, bytes, at, start)}"${nonce}${index}"`
    at = end
  }
  return text + decodePiece(decoder, bytes, at, bytes.length)
}

function fill(skeleton: unknown, values: unknown[], nonce: string): unknown {
  if (values.length === 0 || typeof skeleton !== 'object' || skeleton === null) return skeleton
  for (const list of Object.values(skeleton)) {
    if (!Array.isArray(list)) continue
    for (const [index, item] of list.entries()) {
      if (typeof item === 'string' && item.startsWith(nonce)) list[index] = values[Number(item.slice(nonce.length))]
    }
  }
  return skeleton
}

function decodePiece(decoder: TextDecoder, bytes: Uint8Array, start: number, end: number): string {
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
