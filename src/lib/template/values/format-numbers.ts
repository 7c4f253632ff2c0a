import { notSupported } from './arguments.js'
import type { Context } from './operations.js'
import { reprFloat } from './python-literals.js'
import { toDigits, toFixed } from './python-numbers.js'

/** The digits of numbers, for `%` formatting and for format specifications: without sign, width and grouping. */

const maxPrecision = 2000
/** What working out a digit takes, in characters that are copied. */
const costOfDigit = 6

export function checkPrecision(context: Context, precision: number): void {
  if (precision > maxPrecision) throw notSupported(`A precision over ${maxPrecision} is not supported.`)
  context.budget.characters(costOfDigit * precision)
}

export type FloatStyle = {
  /** `e`, `f`, `g` or their capitals, or `r` for what `str` does; `r` with a precision is `g` that always has a point. */
  type: string
  precision: number | null
  /** `#`: keeps the point, and the zeros of `g`. */
  isAlternate: boolean
}

export function floatDigits(magnitude: number, { type, precision, isAlternate }: FloatStyle): string {
  const isUpper = type !== type.toLowerCase()
  const text = Number.isFinite(magnitude)
    ? finiteDigits(magnitude, type.toLowerCase(), precision, isAlternate)
    : Number.isNaN(magnitude)
      ? 'nan'
      : 'inf'
  return isUpper ? text.toUpperCase() : text
}

function finiteDigits(magnitude: number, type: string, precision: number | null, isAlternate: boolean): string {
  if (type === 'r' && precision === null) return reprFloat(magnitude)
  const places = precision ?? 6
  if (type === 'f') return toFixed(magnitude, places) + (isAlternate && places === 0 ? '.' : '')
  if (type === 'e') return exponential(magnitude, places, isAlternate)
  return general(magnitude, places || 1, type === 'r', isAlternate)
}

function exponential(magnitude: number, places: number, isAlternate: boolean): string {
  const { text, power } = toDigits(magnitude, places + 1)
  return withPower(withPoint(text, 1, isAlternate), power)
}

function general(magnitude: number, digits: number, hasPoint: boolean, isAlternate: boolean): string {
  const { text, power } = toDigits(magnitude, digits)
  const isExponential = power < -4 || power >= (hasPoint ? digits - 1 : digits)
  if (isExponential) {
    const significant = isAlternate ? text : text.slice(0, 1) + withoutZeros(text.slice(1))
    return withPower(withPoint(significant, 1, isAlternate), power)
  }
  const whole = power < 0 ? `${'0'.repeat(-power)}${text}` : text
  const point = Math.max(power, 0) + 1
  const significant = isAlternate ? whole : whole.slice(0, point) + withoutZeros(whole.slice(point))
  const result = withPoint(significant, point, isAlternate)
  return hasPoint && !result.includes('.') ? `${result}.0` : result
}

function withoutZeros(digits: string): string {
  let end = digits.length
  while (digits[end - 1] === '0') end -= 1
  return digits.slice(0, end)
}

function withPoint(digits: string, at: number, isAlternate: boolean): string {
  return digits.length > at || isAlternate ? `${digits.slice(0, at)}.${digits.slice(at)}` : digits
}

function withPower(digits: string, power: number): string {
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}

const radixes: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 }

/** The digits of a magnitude in the base of `d`, `b`, `o`, `x` or `X`. */
export function intDigits(context: Context, magnitude: bigint, type: string): string {
  const text = magnitude.toString(radixes[type] ?? 10)
  context.budget.characters(costOfDigit * text.length)
  return type === 'X' ? text.toUpperCase() : text
}
