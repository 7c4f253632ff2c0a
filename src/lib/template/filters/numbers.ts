import { bind, flag, notSupported, toIndex, typeError, undefinedError } from '../values/arguments.js'
import { finite } from '../values/format-specification.js'
import { payForEach } from '../values/iteration.js'
import type { Arguments, Context, Filter } from '../values/operations.js'
import { floatOfText, integerOfText, parseFloatText, round, roundInt, toFixed, truncate } from '../values/python-numbers.js'
import { float, int, isFloat, isInt, numberOf, textOf, typeName, Undefined, type Value } from '../values/values.js'
import { filterArgumentError } from './lists.js'

function abs(_context: Context, value: Value, given: Arguments): Value {
  bind('abs', given, [])
  const number = numberOf(value)
  if (number === null) throw typeError(`bad operand type for abs(): '${typeName(value)}'`)
  if (typeof number === 'bigint') return int(number < 0n ? -number : number)
  return isFloat(value) ? float(Math.abs(number)) : Math.abs(number)
}

function toInt(context: Context, value: Value, given: Arguments): Value {
  const [fallback = 0, base = 10] = bind('int', given, ['default', 'base'])
  if (value instanceof Undefined) throw undefinedError(value)
  const text = textOf(value)
  if (text === null) {
    const number = numberOf(value)
    // Of infinity Python's `int` has an exception that the filter lets pass.
    return Number.isNaN(number) ? fallback : ((isFloat(value) ? truncate(Number(number)) : number) ?? fallback)
  }
  payForNumber(context, text)
  if (base instanceof Undefined) throw undefinedError(base)
  const whole = isInt(base) || typeof base === 'boolean' ? integerOfText(text, toIndex(base)) : null
  if (whole !== null) return whole
  const number = Number(numberOf(floatOfText(text) ?? Number.NaN))
  return Number.isFinite(number) ? truncate(number) : fallback
}

/** What a digit takes, in characters that are copied; there are so many at the most. */
const costOfDigit = 8
const mostDigits = 1000

/** Going through the text, and more for digits that are not those of ASCII. */
function payForNumber(context: Context, text: string): void {
  context.budget.characters(text.length + costOfDigit * Math.min(text.length, mostDigits))
  if (/[^\0-\x7f]/.test(text)) payForEach(context, text)
}

function floatOf(context: Context, value: Value): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  const text = textOf(value)
  if (text !== null) {
    payForNumber(context, text)
    return parseFloatText(text)
  }
  const number = numberOf(value)
  if (number === null) throw typeError(`float() argument must be a string or a real number, not '${typeName(value)}'`)
  return float(finite(number))
}

function toFloat(context: Context, value: Value, given: Arguments): Value {
  const [fallback = float(0)] = bind('float', given, ['default'])
  if (value instanceof Undefined) throw undefinedError(value)
  const text = textOf(value)
  if (text === null) return numberOf(value) === null ? fallback : floatOf(context, value)
  payForNumber(context, text)
  return floatOfText(text) ?? fallback
}

const mostPlaces = 300

function roundFilter(context: Context, value: Value, given: Arguments): Value {
  const [precision = 0, method = 'common'] = bind('round', given, ['precision', 'method'])
  const name = textOf(method)
  if (name !== 'common' && name !== 'ceil' && name !== 'floor') {
    throw filterArgumentError('method must be common, ceil or floor')
  }
  const number = numberOf(value)
  context.budget.step(Math.min(100, Math.floor(Math.abs(Number(numberOf(precision) ?? 0)) / 16)))
  if (name === 'common') return roundToEven(value, number, precision)
  if (value instanceof Undefined) throw undefinedError(value)
  if (number === null) throw typeError(`must be real number, not ${typeName(value)}`)
  const places = toIndex(precision)
  if (Math.abs(places) > mostPlaces) throw notSupported(`Rounding to more than ${mostPlaces} places is not supported.`)
  return roundTo(number, places, name, isFloat(value))
}

function roundToEven(value: Value, number: number | bigint | null, precision: Value): Value {
  if (number === null) throw typeError(`type ${typeName(value)} doesn't define __round__ method`)
  if (!isFloat(value)) return roundInt(number, precision === null ? 0 : toIndex(precision))
  return precision === null ? truncate(Number(numberOf(round(Number(number), 0)))) : round(Number(number), toIndex(precision))
}

function roundTo(number: number | bigint, places: number, method: 'ceil' | 'floor', isFloatValue: boolean): Value {
  // A whole number times a power of ten is whole.
  if (!isFloatValue && places >= 0) return float(finite(number))
  const unit = places < 0 ? Number(`1e${places}`) : 10 ** places
  const shifted = Math[method](finite(number) * unit)
  return float(Number(truncate(shifted)) / unit)
}

const units = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y']

function filesizeformat(context: Context, value: Value, given: Arguments): Value {
  const [binary] = bind('filesizeformat', given, ['binary'])
  const bytes = Number(numberOf(floatOf(context, value)))
  const base = flag(binary) ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${truncate(bytes)} Bytes`
  // The powers are exact, as they are in Python: not every one of them is a float.
  const found = units.findIndex((_, index) => bytes < BigInt(base) ** BigInt(index + 2))
  const index = found === -1 ? units.length - 1 : found
  const size = (base * bytes) / base ** (index + 2)
  const unit = flag(binary) ? `${units[index]?.toUpperCase()}iB` : `${units[index]}B`
  return `${Number.isFinite(size) ? toFixed(size, 1) : Number.isNaN(size) ? 'nan' : 'inf'} ${unit}`
}

export const numberFilters: readonly (readonly [string, Filter])[] = [
  ['abs', abs],
  ['filesizeformat', filesizeformat],
  ['float', toFloat],
  ['int', toInt],
  ['round', roundFilter],
]
