import type { Arguments } from './operations.js'
import { isTruthy, notSupportedKind, numberOf, OperationError, textOf, typeName, Undefined, type Value } from './values.js'

/** How functions of templates read their arguments, and what they say of wrong ones. */

export function typeError(message: string): OperationError {
  return new OperationError('TypeError', message)
}

export function valueError(message: string): OperationError {
  return new OperationError('ValueError', message)
}

/** Where Python would do something that templates here cannot. */
export function notSupported(message: string): OperationError {
  return new OperationError(notSupportedKind, message)
}

export function undefinedError(value: Undefined): OperationError {
  return new OperationError('UndefinedError', value.what)
}

const argumentCount = (count: number) => (count === 1 ? '1 argument' : `${count} arguments`)
const atMost = (count: number) => (count === 0 ? 'no arguments' : `at most ${argumentCount(count)}`)

/** Puts arguments into the order of their names, undefined where one is not given. The first `required` have to be. */
export function bind(name: string, given: Arguments, names: readonly string[], required = 0): (Value | undefined)[] {
  if (given.args.length > names.length) {
    throw typeError(`${name}() takes ${atMost(names.length)} (${given.args.length} given)`)
  }
  const bound: (Value | undefined)[] = names.map((_, index) => given.args[index])
  for (const [key, value] of given.kwargs) {
    const index = names.indexOf(key)
    if (index === -1) throw typeError(`${name}() got an unexpected keyword argument '${key}'`)
    if (index < given.args.length) throw typeError(`${name}() got multiple values for argument '${key}'`)
    bound[index] = value
  }
  const missing = names.slice(0, required).find((_, index) => bound[index] === undefined)
  if (missing !== undefined) throw typeError(`${name}() missing a required argument: '${missing}'`)
  return bound
}

/** For what takes no keywords, as most methods of Python's own types. */
export function positional(name: string, given: Arguments, most: number, least = 0): readonly Value[] {
  if (given.kwargs.size > 0) throw typeError(`${name}() takes no keyword arguments`)
  const count = given.args.length
  if (count > most) throw typeError(`${name}() takes ${atMost(most)} (${count} given)`)
  if (count < least) throw typeError(`${name}() takes at least ${argumentCount(least)} (${count} given)`)
  return given.args
}

/** A whole number for a size or an index. Those that no JavaScript number holds become infinite, which every bound refuses. */
export function toIndex(value: Value): number {
  const number = numberOf(value)
  if (value instanceof Undefined) throw undefinedError(value)
  if (typeof number === 'bigint') return number > 0n ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
  if (number === null || typeName(value) === 'float') {
    throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`)
  }
  return number
}

export function toText(value: Value, what = 'must be str'): string {
  const text = textOf(value)
  if (text === null) throw typeError(`${what}, not ${typeName(value)}`)
  return text
}

/** Where Python takes a whole number or a boolean and no other value for yes or no. */
export function asSwitch(value: Value | undefined): boolean {
  return value !== undefined && toIndex(value) !== 0
}

export function flag(value: Value | undefined): boolean {
  return value !== undefined && isTruthy(value)
}
