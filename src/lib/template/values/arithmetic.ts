import { notSupported, typeError, undefinedError } from './arguments.js'
import { inversePower, power, quotient } from './exact-floats.js'
import { escaped } from './markup.js'
import type { Context } from './operations.js'
import { percentFormat } from './python-format.js'
import {
  float,
  int,
  isFloat,
  isInt,
  isList,
  Markup,
  numberOf,
  OperationError,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** Python's operators. */
export type BinaryName = 'Add' | 'Sub' | 'Mul' | 'Div' | 'FloorDiv' | 'Mod' | 'Pow'

/** A thousand digits. Python prints 4300 at the most, but what is that long takes longer than a step may. */
const maxIntegerBits = 3_322

const signs: Readonly<Record<BinaryName, string>> = {
  Add: '+',
  Sub: '-',
  Mul: '*',
  Div: '/',
  FloorDiv: '//',
  Mod: '%',
  Pow: '** or pow()',
}

export function binary(name: BinaryName, context: Context, a: Value, b: Value): Value {
  if (name === 'Mod' && (typeof a === 'string' || a instanceof Markup)) return percentFormat(context, a, b)
  if (a instanceof Undefined) throw undefinedError(a)
  if (b instanceof Undefined) throw undefinedError(b)
  const special = name === 'Add' ? joined(context, a, b) : name === 'Mul' ? repeated(context, a, b) : undefined
  if (special !== undefined) return special
  const [left, right] = [numberOf(a), numberOf(b)]
  if (left === null || right === null) {
    throw typeError(`unsupported operand type(s) for ${signs[name]}: '${typeName(a)}' and '${typeName(b)}'`)
  }
  payForNumbers(name, context, left, right)
  if (isFloat(a) || isFloat(b)) return floats[name](toFloat(left), toFloat(right))
  const result = integers[name](left, right)
  if (typeof result === 'bigint') context.budget.step(costOf(result))
  return result
}

/** Long integers and powers take longer than other steps. */
function payForNumbers(name: BinaryName, context: Context, left: Numeric, right: Numeric): void {
  if (typeof left === 'bigint') context.budget.step(costOf(left))
  if (typeof right === 'bigint') context.budget.step(costOf(right))
  if (name === 'Pow') context.budget.step(Math.min(32, Math.ceil(Math.abs(Number(right)) / 2)))
}

/** Multiplying and dividing take the square of the length, here in units of 512 bits. */
function costOf(value: bigint): number {
  return Math.floor((value.toString(16).length / 128) ** 2)
}

export function negative(value: Value): Value {
  return signed(value, '-', (number) => (typeof number === 'bigint' ? int(-number) : number === 0 ? 0 : -number))
}

export function positive(value: Value): Value {
  return signed(value, '+', (number) => number)
}

function signed(value: Value, sign: '-' | '+', apply: (number: number | bigint) => number | bigint): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  const number = numberOf(value)
  if (number === null) throw typeError(`bad operand type for unary ${sign}: '${typeName(value)}'`)
  return isFloat(value) ? float(sign === '-' ? -Number(number) : Number(number)) : apply(number)
}

function joined(context: Context, a: Value, b: Value): Value | undefined {
  const [left, right] = [textOf(a), textOf(b)]
  if (left !== null && right !== null) {
    context.budget.characters(left.length + right.length)
    if (!(a instanceof Markup) && !(b instanceof Markup)) return left + right
    const text = escaped(context, a) + escaped(context, b)
    context.budget.characters(text.length)
    return new Markup(text)
  }
  if (left !== null) throw typeError(`can only concatenate str (not "${typeName(b)}") to str`)
  const [first, second] = [itemsOf(a), itemsOf(b)]
  if (!first) return undefined
  if (!second || isList(a) !== isList(b)) {
    throw typeError(`can only concatenate ${typeName(a)} (not "${typeName(b)}") to ${typeName(a)}`)
  }
  context.budget.step(first.length + second.length)
  const items = [...first, ...second]
  return isList(a) ? items : new Tuple(items)
}

function itemsOf(value: Value): readonly Value[] | null {
  if (isList(value)) return value
  return value instanceof Tuple ? value.items : null
}

const isSequence = (value: Value) => textOf(value) !== null || itemsOf(value) !== null

function repeated(context: Context, a: Value, b: Value): Value | undefined {
  if (!isSequence(a) && !isSequence(b)) return undefined
  const [sequence, times] = isSequence(a) ? [a, b] : [b, a]
  if (!isInt(times) && typeof times !== 'boolean') {
    throw typeError(`can't multiply sequence by non-int of type '${typeName(times)}'`)
  }
  const count = Math.max(0, Number(times))
  const text = textOf(sequence)
  if (text !== null) {
    const length = text === '' ? 0 : text.length * count
    context.budget.characters(length)
    const result = length === 0 ? '' : text.repeat(count)
    return sequence instanceof Markup ? new Markup(result) : result
  }
  const items = itemsOf(sequence) ?? []
  const length = items.length === 0 ? 0 : items.length * count
  context.budget.step(length)
  const result = Array.from({ length }, (_, index) => items[index % items.length] ?? null)
  return isList(sequence) ? result : new Tuple(result)
}

function toFloat(value: number | bigint): number {
  const number = Number(value)
  if (typeof value === 'bigint' && !Number.isFinite(number)) {
    throw new OperationError('OverflowError', 'int too large to convert to float')
  }
  return number
}

function zeroDivision(message: string): OperationError {
  return new OperationError('ZeroDivisionError', message)
}

type Numeric = number | bigint

/** Numbers as long as the result is exact, big integers beyond. */
function exact(a: Numeric, b: Numeric, small: (a: number, b: number) => number, big: (a: bigint, b: bigint) => bigint): Value {
  if (typeof a === 'number' && typeof b === 'number') {
    const result = small(a, b)
    if (Number.isSafeInteger(result) && Number.isSafeInteger(a) && Number.isSafeInteger(b)) return result + 0
  }
  const result = big(BigInt(a), BigInt(b))
  checkSize(result)
  return int(result)
}

function checkSize(value: bigint): void {
  if (value >> BigInt(maxIntegerBits) !== 0n && -value >> BigInt(maxIntegerBits) !== 0n) throw tooLarge()
}

function tooLarge(): OperationError {
  return new OperationError('TooComplex', 'A number of the template has more than 1000 digits.')
}

const integers: { [Name in BinaryName]: (a: Numeric, b: Numeric) => Value } = {
  Add: (a, b) =>
    exact(
      a,
      b,
      (x, y) => x + y,
      (x, y) => x + y,
    ),
  Sub: (a, b) =>
    exact(
      a,
      b,
      (x, y) => x - y,
      (x, y) => x - y,
    ),
  Mul: (a, b) =>
    exact(
      a,
      b,
      (x, y) => x * y,
      (x, y) => x * y,
    ),
  Div: (a, b) => {
    if (Number(b) === 0) throw zeroDivision('division by zero')
    return float(quotient(a, b))
  },
  FloorDiv: (a, b) => {
    if (Number(b) === 0) throw zeroDivision('integer division or modulo by zero')
    return exact(
      a,
      b,
      (x, y) => (x - floorModulo(x, y)) / y,
      (x, y) => (x - bigModulo(x, y)) / y,
    )
  },
  Mod: (a, b) => {
    if (Number(b) === 0) throw zeroDivision('integer modulo by zero')
    return exact(a, b, floorModulo, bigModulo)
  },
  Pow: (a, b) => {
    if (b < 0) return a === 0 ? floats.Pow(0, -1) : float(inversePower(a, b) ?? toFloat(a) ** toFloat(b))
    const bits = BigInt(a).toString(2).length
    if (Math.abs(Number(a)) > 1 && (bits - 1) * Number(b) > maxIntegerBits) throw tooLarge()
    return exact(
      a,
      b,
      (x, y) => (Math.abs(x) <= 1 ? smallPower(x, y) : x ** y),
      (x, y) => x ** y,
    )
  },
}

/** So that the exponent, which may have any size, need not be a big integer. */
function smallPower(base: number, exponent: number): number {
  if (exponent === 0) return 1
  return base === -1 && exponent % 2 !== 0 ? -1 : Math.abs(base)
}

function floorModulo(a: number, b: number): number {
  const rest = a % b
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
}

function bigModulo(a: bigint, b: bigint): bigint {
  const rest = a % b
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest
}

const floats: { [Name in BinaryName]: (a: number, b: number) => Value } = {
  Add: (a, b) => float(a + b),
  Sub: (a, b) => float(a - b),
  Mul: (a, b) => float(a * b),
  Div: (a, b) => {
    if (b === 0) throw zeroDivision('float division by zero')
    return float(a / b)
  },
  FloorDiv: (a, b) => {
    if (b === 0) throw zeroDivision('float floor division by zero')
    const quotient = (a - floatModulo(a, b)) / b
    if (quotient === 0) return float(a / b < 0 || Object.is(a / b, -0) ? -0 : 0)
    // The quotient is next to an integer, on either side of it.
    const floor = Math.floor(quotient)
    return float(quotient - floor > 0.5 ? floor + 1 : floor)
  },
  Mod: (a, b) => {
    if (b === 0) throw zeroDivision('float modulo')
    return float(floatModulo(a, b))
  },
  Pow: (a, b) => {
    if (a === 0 && b < 0) throw zeroDivision('0.0 cannot be raised to a negative power')
    if (a < 0 && Number.isFinite(a) && Number.isFinite(b) && !Number.isInteger(b))
      throw notSupported('Complex numbers are not supported.')
    // Python has 1 where JavaScript has NaN.
    if (a === 1 || (a === -1 && !Number.isFinite(b) && !Number.isNaN(b))) return float(1)
    const result = power(a, b)
    if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
      throw new OperationError('OverflowError', "(34, 'Numerical result out of range')")
    }
    return float(result)
  },
}

function floatModulo(a: number, b: number): number {
  const rest = a % b
  if (rest !== 0) return rest < 0 !== b < 0 ? rest + b : rest
  return b < 0 ? -0 : 0
}
