import { valueError } from './arguments.js'
import { isDecimal } from './python-case.js'
import { reprString } from './python-literals.js'
import { strip } from './python-text.js'
import { type Float, float, int, OperationError, type Value } from './values.js'

/** Numbers as Python reads, rounds and writes them: exactly, by the binary value of a float, ties to even. Pure. */

/** A finite float as `mantissa * 2 ** exponent`. */
function decompose(value: number): { mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, Math.abs(value))
  const bits = view.getBigUint64(0)
  const exponent = Number(bits >> 52n)
  const fraction = bits & 0xfffffffffffffn
  return exponent === 0
    ? { mantissa: fraction, exponent: -1074 }
    : { mantissa: fraction | 0x10000000000000n, exponent: exponent - 1075 }
}

function divideToEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator
  const twice = 2n * (numerator % denominator)
  return twice > denominator || (twice === denominator && quotient % 2n === 1n) ? quotient + 1n : quotient
}

/** The magnitude times `10 ** power`, to the nearest integer. Powers are bounded by the callers. */
export function scaled(value: number, power: number): bigint {
  const { mantissa, exponent } = decompose(value)
  const numerator = mantissa * (exponent > 0 ? 2n ** BigInt(exponent) : 1n) * (power > 0 ? 10n ** BigInt(power) : 1n)
  const denominator = (exponent < 0 ? 2n ** BigInt(-exponent) : 1n) * (power < 0 ? 10n ** BigInt(-power) : 1n)
  return divideToEven(numerator, denominator)
}

/** `%.{places}f` of the magnitude of a finite number. */
export function toFixed(value: number | bigint, places: number): string {
  const digits = (typeof value === 'bigint' ? abs(value) * 10n ** BigInt(places) : scaled(value, places))
    .toString()
    .padStart(places + 1, '0')
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`
}

/** `digits` significant ones of the magnitude, the first before the point, and the power of ten that goes with it. */
export function toDigits(value: number, digits: number): { text: string; power: number } {
  if (value === 0) return { text: '0'.repeat(digits), power: 0 }
  let power = Number(value.toExponential().split('e')[1])
  for (;;) {
    const text = scaled(value, digits - 1 - power).toString()
    if (text.length === digits) return { text, power }
    // The shortest form of a number can be of another power of ten than the number itself.
    power += text.length > digits ? 1 : -1
  }
}

const abs = (value: bigint) => (value < 0n ? -value : value)

const overflow = (message: string) => new OperationError('OverflowError', message)

/** More places than any float has. */
const mostPlaces = 1100

/** Python's `round(value, places)`. */
export function round(value: number, places: number): Value {
  // From 2 ** 52 on there is nothing behind the point.
  const isWhole = places >= 0 && Math.abs(value) >= 2 ** 52
  if (isWhole || !Number.isFinite(value) || places > mostPlaces) return float(value)
  if (places < -mostPlaces) return float(value < 0 ? -0 : 0)
  const sign = value < 0 || Object.is(value, -0) ? -1 : 1
  const rounded = sign * Number(`${scaled(value, places)}e${-places}`)
  if (!Number.isFinite(rounded)) throw overflow('rounded value too large to represent')
  return float(rounded)
}

/** The same for ints, which stay ints: only negative places change them. */
export function roundInt(value: number | bigint, places: number): Value {
  if (places >= 0) return value
  const big = BigInt(value)
  // A hexadecimal digit is 1.204 decimal ones.
  if (-places > 1.21 * big.toString(16).length + 1) return 0
  const unit = 10n ** BigInt(-places)
  const rounded = divideToEven(abs(big), unit) * unit
  return int(big < 0n ? -rounded : rounded)
}

/** `int()` of a float. */
export function truncate(value: number): Value {
  if (Number.isNaN(value)) throw valueError('cannot convert float NaN to integer')
  if (!Number.isFinite(value)) throw overflow('cannot convert float infinity to integer')
  return int(BigInt(Math.trunc(value)))
}

const floatForm = /^[-+]?(?:(?:\d+(?:_\d+)*)(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][-+]?\d+(?:_\d+)*)?$/
const specialFloat = /^([-+]?)(?:(inf|infinity)|nan)$/i

/** As much of a text as a message quotes. */
const quoted = (text: string) => reprString(text.slice(0, 200))

/** `float()` of a text. */
export function parseFloatText(text: string): Value {
  const value = floatOfText(text)
  if (value === null) throw valueError(`could not convert string to float: ${quoted(text)}`)
  return value
}

/** The same, but null for what is none. */
export function floatOfText(text: string): number | Float | null {
  const trimmed = asciiDigits(strip(text, 'both', null))
  if (floatForm.test(trimmed)) return float(Number(trimmed.replaceAll('_', '')))
  const special = specialFloat.exec(trimmed)
  if (!special) return null
  if (!special[2]) return Number.NaN
  return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

/** Python reads the decimal digits of all scripts; those of one come in a row from 0 to 9. What has others is no number. */
function asciiDigits(text: string): string {
  if (/^[\0-\x7f]*$/.test(text) || !/^[\0-\x7f\p{Nd}]*$/u.test(text)) return text
  const known = new Map<string, string>()
  return text.replace(/[^\0-\x7f]/gu, (character) => {
    const digit = known.get(character) ?? String(digitOf(character))
    known.set(character, digit)
    return digit
  })
}

function digitOf(character: string): number {
  const code = character.codePointAt(0) ?? 0
  let zero = code
  while (code - zero < 9 && isDecimal(String.fromCodePoint(zero - 1))) zero -= 1
  // Mathematical digits follow each other alphabet by alphabet.
  if (code >= 0x1d7ce && code <= 0x1d7ff) return (code - 0x1d7ce) % 10
  return code - zero
}

const prefixes = new Map([
  ['0b', 2],
  ['0o', 8],
  ['0x', 16],
])
/** How JavaScript writes what it reads itself, and faster. */
const literals = new Map([
  [2, '0b'],
  [8, '0o'],
  [10, ''],
  [16, '0x'],
])
/** What is longer Python does not read; what has more than `maxDigits` takes longer than a step may. */
const pythonsDigits = 4300
const maxDigits = 1000
/** Python reads any number of digits where they are bits. */
const isUnlimited = (base: number) => (base & (base - 1)) === 0
/** So many of any base make an exact number. */
const digitsAtOnce = 10

/** `int(text, base)`; base 0 means that of a literal. */
export function parseInteger(text: string, base: number): Value {
  if (base !== 0 && (base < 2 || base > 36)) throw valueError('int() base must be >= 2 and <= 36, or 0')
  const value = integerOfText(text, base)
  if (value === null) throw valueError(`invalid literal for int() with base ${base}: ${quoted(text)}`)
  return value
}

/** The same, but null for what is none, also for a base that Python has not. */
export function integerOfText(text: string, base: number): number | bigint | null {
  if (base !== 0 && !(base >= 2 && base <= 36)) return null
  const stripped = strip(text, 'both', null)
  // With an underscore between any two digits, a prefix and a sign.
  if (stripped.length > 2 * pythonsDigits + 4 && base !== 0 && !isUnlimited(base)) return null
  let rest = asciiDigits(stripped).toLowerCase()
  const isNegative = rest.startsWith('-')
  if (isNegative || rest.startsWith('+')) rest = rest.slice(1)
  const prefixed = prefixes.get(rest.slice(0, 2))
  const hasPrefix = prefixed !== undefined && (base === 0 || base === prefixed)
  if (hasPrefix) rest = rest.slice(rest[2] === '_' ? 3 : 2)
  else if (base === 0 && rest.startsWith('0') && /[^0_]/.test(rest)) return null
  const radix = hasPrefix ? (prefixed ?? 10) : base || 10
  const value = isGrouped(rest) ? digitsToInt(rest.replaceAll('_', ''), radix) : null
  return value === null ? null : int(isNegative ? -value : value)
}

/** Digits with single underscores between them. */
function isGrouped(text: string): boolean {
  return /^[0-9a-z](?:_?[0-9a-z])*$/.test(text)
}

/** Of a text of digits and small letters. */
function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code <= 0x39 ? code - 0x30 : code - 0x61 + 10
}

function digitsToInt(text: string, radix: number): bigint | null {
  if (text.length > pythonsDigits && !isUnlimited(radix)) return null
  if (text.length > maxDigits)
    throw new OperationError('TooComplex', `A number of the template has more than ${maxDigits} digits.`)
  for (let at = 0; at < text.length; at += 1) if (digitAt(text, at) >= radix) return null
  const literal = literals.get(radix)
  if (literal !== undefined) return BigInt(literal + text)
  let value = 0n
  for (let at = 0; at < text.length; at += digitsAtOnce) {
    const part = text.slice(at, at + digitsAtOnce)
    value = value * BigInt(radix ** part.length) + BigInt(Number.parseInt(part, radix))
  }
  return value
}
