import { bind, typeError, undefinedError } from '../values/arguments.js'
import { areEqual, contains, isIterable, order, textFor } from '../values/iteration.js'
import type { Context, Test } from '../values/operations.js'
import * as cases from '../values/python-case.js'
import { percentFormat } from '../values/python-format.js'
import {
  Attributes,
  Callable,
  Dict,
  isFloat,
  isInt,
  isNumber,
  Markup,
  numberOf,
  Once,
  OperationError,
  textOf,
  typeName,
  Undefined,
  type Value,
  View,
} from '../values/values.js'
import { filters } from './filters.js'

/** All builtin tests of Jinja2, by their names. */

const about =
  (name: string, holds: (value: Value, context: Context) => boolean): Test =>
  (context, value, given) => {
    bind(name, given, [])
    return holds(value, context)
  }

const against =
  (name: string, holds: (context: Context, value: Value, other: Value) => boolean, parameter = 'other'): Test =>
  (context, value, given) => {
    const [other = null] = bind(name, given, [parameter], 1)
    return holds(context, value, other)
  }

/** Python's `%` of two numbers: the sign is the divisor's. */
function remainder(context: Context, value: Value, divisor: Value): number | bigint {
  if (value instanceof Undefined) throw undefinedError(value)
  if (typeof value === 'string' || value instanceof Markup) {
    // Of a text this is its formatting, which is no number.
    percentFormat(context, value, divisor)
    return Number.NaN
  }
  if (divisor instanceof Undefined) throw undefinedError(divisor)
  const [left, right] = [numberOf(value), numberOf(divisor)]
  if (left === null || right === null) {
    throw typeError(`unsupported operand type(s) for %: '${typeName(value)}' and '${typeName(divisor)}'`)
  }
  const isFloatish = isFloat(value) || isFloat(divisor)
  if (Number(right) === 0) throw new OperationError('ZeroDivisionError', `${isFloatish ? 'float' : 'integer'} modulo by zero`)
  if (!isFloatish) return ((BigInt(left) % BigInt(right)) + BigInt(right)) % BigInt(right)
  const rest = Number(left) % Number(right)
  return rest !== 0 && rest < 0 !== Number(right) < 0 ? rest + Number(right) : rest
}

const compared = (operator: string, holds: (difference: number) => boolean): Test =>
  against(operator, (context, value, other) => holds(order(context, value, other, operator)))

const equal = against('eq', areEqual)
const unequal = against('ne', (context, value, other) => !areEqual(context, value, other))
const greater = compared('>', (difference) => difference > 0)
const atLeast = compared('>=', (difference) => difference >= 0)
const less = compared('<', (difference) => difference < 0)
const atMost = compared('<=', (difference) => difference <= 0)

const isSequence = (value: Value) => isIterable(value) && !(value instanceof Once) && !(value instanceof View)

function isCallable(value: Value): boolean {
  return value instanceof Callable || value instanceof Undefined || (value instanceof Attributes && value.call !== undefined)
}

/** Whether two are one object. Small numbers, constants and texts are, lists and dicts only if they are the very same. */
function isSame(context: Context, value: Value, other: Value): boolean {
  if (typeof value === 'string' && typeof other === 'string') return areEqual(context, value, other)
  if (isNumber(value) && isNumber(other)) return typeName(value) === typeName(other) && numberOf(value) === numberOf(other)
  return value === other
}

const cased = (name: string, holds: (text: string) => boolean) =>
  about(name, (value, context) => {
    const text = textFor(context, value)
    context.budget.characters(4 * text.length)
    return holds(text)
  })

const named = (name: string, isKnown: (name: string) => boolean) =>
  about(name, (value) => {
    const text = textOf(value)
    if (text !== null) return isKnown(text)
    // Only what can be a key can be looked for.
    return new Dict().has(value)
  })

export const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['boolean', about('boolean', (value) => typeof value === 'boolean')],
  ['callable', about('callable', isCallable)],
  ['defined', about('defined', (value) => !(value instanceof Undefined))],
  ['divisibleby', against('divisibleby', (context, value, other) => Number(remainder(context, value, other)) === 0, 'num')],
  ['escaped', about('escaped', (value) => value instanceof Markup)],
  ['even', about('even', (value, context) => Number(remainder(context, value, 2)) === 0)],
  ['false', about('false', (value) => value === false)],
  ['filter', named('filter', (name) => filters.has(name))],
  ['float', about('float', isFloat)],
  ['in', against('in', (context, value, other) => contains(context, other, value), 'seq')],
  ['integer', about('integer', isInt)],
  ['iterable', about('iterable', isIterable)],
  ['lower', cased('lower', cases.isAllLower)],
  ['mapping', about('mapping', (value) => value instanceof Dict)],
  ['none', about('none', (value) => value === null)],
  ['number', about('number', (value) => numberOf(value) !== null)],
  ['odd', about('odd', (value, context) => Number(remainder(context, value, 2)) === 1)],
  ['sameas', against('sameas', isSame)],
  ['sequence', about('sequence', isSequence)],
  ['string', about('string', (value) => textOf(value) !== null)],
  ['test', named('test', (name) => tests.has(name))],
  ['true', about('true', (value) => value === true)],
  ['undefined', about('undefined', (value) => value instanceof Undefined)],
  ['upper', cased('upper', cases.isAllUpper)],
  ...['==', 'eq', 'equalto'].map((name) => [name, equal] as const),
  ...['!=', 'ne'].map((name) => [name, unequal] as const),
  ...['>', 'gt', 'greaterthan'].map((name) => [name, greater] as const),
  ...['>=', 'ge'].map((name) => [name, atLeast] as const),
  ...['<', 'lt', 'lessthan'].map((name) => [name, less] as const),
  ...['<=', 'le'].map((name) => [name, atMost] as const),
])
