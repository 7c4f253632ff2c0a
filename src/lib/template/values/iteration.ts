import { typeError, undefinedError } from './arguments.js'
import type { Context } from './operations.js'
import { findText, isPlain, lengthOfText } from './python-text.js'
import {
  compare,
  Dict,
  isEqual,
  isList,
  Once,
  OperationError,
  repr,
  str,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js'

/** What Python's iteration, `len`, `in` and ordering mean, each paid for. */

/** The items to go through: the characters of a text, the keys of a dict. Each costs a step. */
export function toIterable(context: Context, value: Value): Value[] {
  const items = itemsOf(context, value)
  if (!items) throw typeError(`'${typeName(value)}' object is not iterable`)
  return items
}

export function isIterable(value: Value): boolean {
  return textOf(value) !== null || value instanceof Undefined || value instanceof Once || isSized(value)
}

function isSized(value: Value): value is readonly Value[] | Tuple | Dict | View {
  return isList(value) || value instanceof Tuple || value instanceof Dict || value instanceof View
}

function itemsOf(context: Context, value: Value): Value[] | null {
  const text = textOf(value)
  if (text !== null) return charactersOf(context, text)
  if (value instanceof Undefined) return []
  if (value instanceof Dict) {
    context.budget.step(value.size)
    return Array.from(value.entries(), ([key]) => key)
  }
  const items = value instanceof Once ? value.take() : plainItems(value)
  if (!items) return null
  context.budget.step(items.length)
  return [...items]
}

function plainItems(value: Value): readonly Value[] | null {
  if (isList(value)) return value
  return value instanceof Tuple || value instanceof View ? value.items : null
}

export function charactersOf(context: Context, text: string): string[] {
  context.budget.step(text.length)
  return isPlain(text) ? text.split('') : Array.from(text)
}

/** Python's `len`. */
export function lengthOf(context: Context, value: Value): number {
  const text = textOf(value)
  if (text !== null) {
    scan(context, text)
    return lengthOfText(text)
  }
  if (value instanceof Undefined) return 0
  if (value instanceof Dict) return value.size
  const items = plainItems(value)
  if (!items) throw typeError(`object of type '${typeName(value)}' has no len()`)
  return items.length
}

/** Pays for going through a text without making one, which is much cheaper than steps. */
export function scan(context: Context, text: string): void {
  context.budget.step(1 + Math.floor(text.length / 64))
}

/** `str()`, paid for. */
export function textFor(context: Context, value: Value): string {
  return isSized(value) ? reprFor(context, value) : str(value)
}

/** `repr()`, paid for. */
export function reprFor(context: Context, value: Value): string {
  checkDepth(context, value)
  return repr(value, (characters) => context.budget.characters(characters))
}

const maxDepth = 300

/** What goes through a value by recursion must not overflow the stack: a template can nest lists in a loop. */
export function checkDepth(context: Context, value: Value): void {
  let level: Value[] = isSized(value) ? [value] : []
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth) throw new OperationError('RecursionError', `A value is nested deeper than ${maxDepth}.`)
    const next: Value[] = []
    for (const item of level) {
      const items = item instanceof Dict ? Array.from(item.entries()).flat() : (plainItems(item) ?? [])
      context.budget.step(items.length)
      for (const inner of items) if (isSized(inner)) next.push(inner)
    }
    level = next
  }
}

/** Python's `==`, paid for. */
export function areEqual(context: Context, a: Value, b: Value): boolean {
  checkDepth(context, a)
  checkDepth(context, b)
  return isEqual(a, b, () => context.budget.step())
}

/** Python's order, paid for. NaN, which has none, is as good as equal. */
export function order(context: Context, a: Value, b: Value, operator = '<'): number {
  if (a instanceof Undefined) throw undefinedError(a)
  if (b instanceof Undefined) throw undefinedError(b)
  checkDepth(context, a)
  checkDepth(context, b)
  return compare(a, b, operator, () => context.budget.step())
}

/** Python's `item in container`. */
export function contains(context: Context, container: Value, item: Value): boolean {
  const text = textOf(container)
  if (text !== null) {
    const needle = textOf(item)
    if (needle === null) throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    scan(context, text)
    return findText(text, needle) !== -1
  }
  if (container instanceof Dict) return container.has(item)
  if (container instanceof Once) {
    // As far as it has to be gone through to find the item, it is gone.
    for (let [next] = container.take(1); next !== undefined; [next] = container.take(1)) {
      if (areEqual(context, next, item)) return true
    }
    return false
  }
  if (!isIterable(container)) throw typeError(`argument of type '${typeName(container)}' is not iterable`)
  return toIterable(context, container).some((other) => areEqual(context, other, item))
}

/** The first item, or undefined where there is none. */
export function firstOf(context: Context, value: Value): Value | undefined {
  if (value instanceof Once) return value.take(1)[0]
  const text = textOf(value)
  if (text !== null) return text === '' ? undefined : String.fromCodePoint(text.codePointAt(0) ?? 0)
  const items = plainItems(value)
  if (items) return items[0]
  if (value instanceof Dict) return value.entries().next().value?.[0]
  return toIterable(context, value)[0]
}
