import { typeError, undefinedError } from './arguments.js'
import type { Context } from './operations.js'
import type { Charge } from './python-literals.js'
import { compareTexts, isPlain, lastCharacter, lengthOfText } from './python-text.js'
import { costOfComparing, findText } from './text-search.js'
import {
  Dict,
  isList,
  numberOf,
  Once,
  OperationError,
  Range,
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

function isSized(value: Value): value is readonly Value[] | Tuple | Dict | View | Range {
  return isList(value) || value instanceof Dict || hasItems(value)
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
  return hasItems(value) ? value.items : null
}

function hasItems(value: Value): value is Tuple | View | Range {
  return value instanceof Tuple || value instanceof View || value instanceof Range
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

/** What looking at each character takes, in characters that are copied. */
const costOfLooking = { ascii: 8, others: 16 }

/** Pays for what looks at each character of a text. */
export function payForEach(context: Context, text: string): void {
  const cost = /[^\0-\x7f]/.test(text) ? costOfLooking.others : costOfLooking.ascii
  context.budget.characters(cost * text.length)
}

/** `str()`, paid for. */
export function textFor(context: Context, value: Value): string {
  return isSized(value) || typeof value === 'bigint' ? reprFor(context, value) : str(value)
}

/** For what makes texts without knowing of a rendering. */
export function chargeTo({ budget }: Context): Charge {
  return (characters) => budget.characters(characters)
}

/** `repr()`, paid for. */
export function reprFor(context: Context, value: Value): string {
  checkDepth(context, value)
  return repr(value, chargeTo(context))
}

const maxDepth = 300

/** What goes through a value by recursion must not overflow the stack: a template can nest lists in a loop. */
export function checkDepth(context: Context, value: Value): void {
  if (!isSized(value)) return
  let level: Value[] = [value]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth) throw new OperationError('RecursionError', `A value is nested deeper than ${maxDepth}.`)
    const next: Value[] = []
    for (const item of level) {
      const items = item instanceof Dict ? Array.from(item.entries()).flat() : (plainItems(item) ?? [])
      context.budget.step(1 + items.length)
      for (const inner of items) if (isSized(inner)) next.push(inner)
    }
    level = next
  }
}

/** Python's `==`: `1 == 1.0 == True`, lists and tuples by their items, dicts whatever their order. */
export function areEqual(context: Context, a: Value, b: Value): boolean {
  if (typeof a === 'string' && typeof b === 'string') return areTextsEqual(context, a, b)
  checkDepth(context, a)
  checkDepth(context, b)
  return isEqual(context, a, b)
}

function isEqual(context: Context, a: Value, b: Value): boolean {
  context.budget.step()
  const [left, right] = [numberOf(a), numberOf(b)]
  if (left !== null || right !== null) return left !== null && right !== null && compareNumbers(left, right) === 0
  const [leftText, rightText] = [textOf(a), textOf(b)]
  if (leftText !== null && rightText !== null) return areTextsEqual(context, leftText, rightText)
  if (leftText !== null || rightText !== null) return false
  if (a instanceof Undefined || b instanceof Undefined) return a instanceof Undefined && b instanceof Undefined
  if (a instanceof Dict && b instanceof Dict) return areDictsEqual(context, a, b)
  const pair = itemPair(a, b) ?? (a instanceof Range && b instanceof Range ? [a.items, b.items] : null)
  if (!pair) return a === b
  const [first, second] = pair
  return first.length === second.length && first.every((item, index) => isEqual(context, item, second[index] ?? null))
}

function areTextsEqual(context: Context, a: string, b: string): boolean {
  if (a.length !== b.length) return false
  if (a.length > 0) context.budget.step(costOfComparing(a))
  return a === b
}

function areDictsEqual(context: Context, a: Dict, b: Dict): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a.entries()) {
    const other = b.get(key)
    if (other === undefined || !isEqual(context, value, other)) return false
  }
  return true
}

/** The items of two lists or two tuples. */
function itemPair(a: Value, b: Value): readonly [readonly Value[], readonly Value[]] | null {
  if (isList(a) && isList(b)) return [a, b]
  return a instanceof Tuple && b instanceof Tuple ? [a.items, b.items] : null
}

/** Python's order for `<`, `sort`, `min`, `max`: negative, 0 or positive, NaN where no order exists among floats. Throws `OperationError`. */
export function order(context: Context, a: Value, b: Value, operator = '<'): number {
  if (a instanceof Undefined) throw undefinedError(a)
  if (b instanceof Undefined) throw undefinedError(b)
  checkDepth(context, a)
  checkDepth(context, b)
  return compare(context, a, b, operator)
}

function compare(context: Context, a: Value, b: Value, operator: string): number {
  context.budget.step()
  const [left, right] = [numberOf(a), numberOf(b)]
  if (left !== null && right !== null) return compareNumbers(left, right)
  const [leftText, rightText] = [textOf(a), textOf(b)]
  if (leftText !== null && rightText !== null) {
    scan(context, leftText.length < rightText.length ? leftText : rightText)
    return compareTexts(leftText, rightText)
  }
  const pair = itemPair(a, b)
  if (!pair) throw typeError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`)
  const [first, second] = pair
  for (let index = 0; index < Math.min(first.length, second.length); index += 1) {
    const [x = null, y = null] = [first[index], second[index]]
    if (!isEqual(context, x, y)) return compare(context, x, y, operator)
  }
  return first.length - second.length
}

function compareNumbers(a: number | bigint, b: number | bigint): number {
  return a < b ? -1 : a > b ? 1 : a <= b ? 0 : Number.NaN
}

/** Python's `item in container`. */
export function contains(context: Context, container: Value, item: Value): boolean {
  const text = textOf(container)
  if (text !== null) {
    const needle = textOf(item)
    if (needle === null) throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    scan(context, text)
    return findText(context, text, needle) !== -1
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

/** The last one of what can be read backwards. */
export function lastOf(context: Context, value: Value): Value | undefined {
  const text = textOf(value)
  if (text !== null) return text === '' ? undefined : lastCharacter(text)
  return (plainItems(value) ?? toIterable(context, value)).at(-1)
}
