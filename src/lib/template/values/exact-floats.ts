import { OperationError } from './values.js'

/** Where Python's floats are the ones next to the true result, and JavaScript's operators give others. */

type Numeric = number | bigint

/** `a / b` of two integers, however long they are; b is not 0. */
export function quotient(a: Numeric, b: Numeric): number {
  if (Number.isSafeInteger(a) && Number.isSafeInteger(b)) return Number(a) / Number(b)
  return longQuotient(BigInt(a), BigInt(b))
}

function longQuotient(a: bigint, b: bigint): number {
  if (a === 0n) return b < 0n ? -0 : 0
  const shift = lengthOf(a) - lengthOf(b) - precision
  const [top, bottom] = shift < 0 ? [absolute(a) << BigInt(-shift), absolute(b)] : [absolute(a), absolute(b) << BigInt(shift)]
  // What is left over makes the last bit odd, so that nothing is taken for the middle between two floats that is not.
  const digits = (top / bottom) | (top % bottom === 0n ? 0n : 1n)
  const result = scaled(Number(digits), shift)
  if (!Number.isFinite(result)) throw new OperationError('OverflowError', 'integer division result too large for a float')
  return a < 0n === b < 0n ? result : -result
}

/** More bits than a float has, so that rounding them to one is right. */
const precision = 66

const absolute = (value: bigint) => (value < 0n ? -value : value)
const lengthOf = (value: bigint) => absolute(value).toString(2).length

/** In two steps, since a power of two beyond 2 ** 1023 is none. */
function scaled(value: number, exponent: number): number {
  const half = Math.trunc(exponent / 2)
  return value * 2 ** half * 2 ** (exponent - half)
}

/** Larger ones are worth no exact calculation. */
const maxExponent = 64

/** `a ** b` of two integers where b is negative and a is not 0; null where it is not worked out exactly. */
export function inversePower(a: Numeric, b: Numeric): number | null {
  const isSmall = Number.isSafeInteger(a) && b >= -maxExponent
  return isSmall ? quotient(1, BigInt(a) ** -BigInt(b)) : null
}

/** JavaScript's powers are near the right ones, not always the right ones: those of small whole exponents are worked out. */
export function power(base: number, exponent: number): number {
  if (exponent === 0.5 && base > 0) return Math.sqrt(base)
  const result = base ** exponent
  const isSmall = Number.isInteger(exponent) && exponent > 1 && exponent <= maxExponent
  // Beyond these a float has fewer digits, or none.
  const isUsual = Math.abs(result) > 1e-290 && Math.abs(result) < 1e300
  return isSmall && isUsual ? exactPower(base, exponent, result) : result
}

function exactPower(base: number, exponent: number, result: number): number {
  const { digits, shift } = partsOf(base)
  const exact = digits ** BigInt(exponent)
  // The bits of the exact power, but for one more or less.
  const length = Math.round(Math.log2(Math.abs(result))) - shift * exponent
  const excess = Math.max(0, length - precision)
  const rounded = (absolute(exact) >> BigInt(excess)) | (BigInt.asUintN(excess, exact) === 0n ? 0n : 1n)
  const magnitude = scaled(Number(rounded), shift * exponent + excess)
  return exact < 0n ? -magnitude : magnitude
}

/** A float as a whole number times a power of two. */
function partsOf(value: number): { digits: bigint; shift: number } {
  const shift = Math.floor(Math.log2(Math.abs(value))) - 54
  return { digits: BigInt(scaled(value, -shift)), shift }
}
