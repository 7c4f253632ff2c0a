import { bind, flag, notSupported, toIndex, typeError, undefinedError } from '../values/arguments.js'
import { binary } from '../values/arithmetic.js'
import { firstOf, isIterable, lastOf, lengthOf, textFor, toIterable } from '../values/iteration.js'
import { like } from '../values/markup.js'
import { methodOf } from '../values/methods.js'
import type { Arguments, Context, Filter } from '../values/operations.js'
import { reverseText } from '../values/python-text.js'
import { joinTexts } from '../values/text-parts.js'
import {
  Dict,
  isList,
  Markup,
  numberOf,
  Once,
  OperationError,
  Range,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
  View,
} from '../values/values.js'
import { attributeGetter, ignoringCase } from './attribute-path.js'

/** Filters that go through the items of a value. Those that give a generator in Python give what can be gone through once. */

export const filterArgumentError = (message: string) => new OperationError('FilterArgumentError', message)

export const generator = (items: readonly Value[]) => new Once('generator', items)

function first(context: Context, value: Value, given: Arguments): Value {
  bind('first', given, [])
  const item = firstOf(context, value)
  return item === undefined ? new Undefined('No first item, sequence was empty.') : item
}

function last(context: Context, value: Value, given: Arguments): Value {
  bind('last', given, [])
  if (value instanceof Undefined) return new Undefined('No last item, sequence was empty.')
  if (value instanceof Once || !isIterable(value)) throw typeError(`'${typeName(value)}' object is not reversible`)
  const item = lastOf(context, value)
  if (item === undefined) return new Undefined('No last item, sequence was empty.')
  return value instanceof Markup ? new Markup(item as string) : item
}

function join(context: Context, value: Value, given: Arguments): Value {
  const [separator = '', attribute = null] = bind('join', given, ['d', 'attribute'])
  const getter = attributeGetter(context, attribute)
  const texts = toIterable(context, value).map((item) => textFor(context, attribute === null ? item : getter(item)))
  return joinTexts(context, texts, textFor(context, separator))
}

function list(context: Context, value: Value, given: Arguments): Value {
  bind('list', given, [])
  return toIterable(context, value)
}

function length(context: Context, value: Value, given: Arguments): Value {
  bind('length', given, [])
  return lengthOf(context, value)
}

function batch(context: Context, value: Value, given: Arguments): Value {
  const [count = 0, fill = null] = bind('batch', given, ['linecount', 'fill_with'], 1)
  const items = toIterable(context, value)
  const rows = rowsOf(items, Number(numberOf(count) ?? Number.NaN))
  const row = rows.at(-1)
  if (row && fill !== null) {
    const missing = Math.max(0, toIndex(count) - row.length)
    context.budget.step(missing)
    for (let added = 0; added < missing; added += 1) row.push(fill)
  }
  return generator(rows)
}

/** A row is full when it has the size; of nothing that is already so before its first item. */
function rowsOf(items: Value[], size: number): Value[][] {
  if (items.length === 0) return []
  if (size === 0) return [[], items]
  if (!Number.isInteger(size) || size < 0) return [items]
  const rows: Value[][] = []
  for (let at = 0; at < items.length; at += size) rows.push(items.slice(at, at + size))
  return rows
}

function slice(context: Context, value: Value, given: Arguments): Value {
  const [count = 0, fill = null] = bind('slice', given, ['slices', 'fill_with'], 1)
  const items = toIterable(context, value)
  const slices = toIndex(count)
  if (slices === 0) throw new OperationError('ZeroDivisionError', 'integer division or modulo by zero')
  context.budget.step(Math.max(0, slices))
  const size = Math.floor(items.length / slices)
  const longer = items.length % slices
  const columns: Value[][] = []
  for (let number = 0, start = 0; number < slices; number += 1) {
    const end = start + size + (number < longer ? 1 : 0)
    const column = items.slice(start, end)
    if (fill !== null && number >= longer) column.push(fill)
    columns.push(column)
    start = end
  }
  return generator(columns)
}

function reverse(context: Context, value: Value, given: Arguments): Value {
  bind('reverse', given, [])
  const text = textOf(value)
  if (text !== null) {
    context.budget.characters(2 * text.length)
    return like(value as string | Markup, reverseText(text))
  }
  if (!isIterable(value)) throw filterArgumentError('argument must be iterable')
  const items = toIterable(context, value).reverse()
  // What cannot be read backwards is made a list first, which stays one.
  return value instanceof Once ? items : new Once(reversedKind(value), items)
}

function reversedKind(value: Value): string {
  if (isList(value)) return 'list_reverseiterator'
  if (value instanceof Range) return 'range_iterator'
  if (value instanceof Tuple || value instanceof Undefined) return 'reversed'
  return value instanceof View ? `dict_reverse${value.kind.slice(5, -1)}iterator` : 'dict_reversekeyiterator'
}

function unique(context: Context, value: Value, given: Arguments): Value {
  const [isCaseSensitive, attribute = null] = bind('unique', given, ['case_sensitive', 'attribute'])
  const getter = attributeGetter(context, attribute)
  const [texts, others] = [new Set<string>(), new Dict()]
  const items = toIterable(context, value).filter((item) => {
    const key = getter(item)
    const comparable = flag(isCaseSensitive) ? key : ignoringCase(context, key)
    return isNew(context, comparable, texts, others)
  })
  return generator(items)
}

/** A text may be longer here than the key of a dict. */
function isNew(context: Context, key: Value, texts: Set<string>, others: Dict): boolean {
  const text = textOf(key)
  if (text === null) {
    const count = others.size
    others.set(key, null)
    return others.size > count
  }
  context.budget.characters(text.length)
  if (texts.has(text)) return false
  texts.add(text)
  return true
}

function items(context: Context, value: Value, given: Arguments): Value {
  bind('items', given, [])
  if (value instanceof Undefined) return generator([])
  if (!(value instanceof Dict)) throw typeError('Can only get item pairs from a mapping.')
  context.budget.step(value.size)
  return generator(Array.from(value.entries(), (entry) => new Tuple(entry)))
}

function sum(context: Context, value: Value, given: Arguments): Value {
  const [attribute = null, start = 0] = bind('sum', given, ['attribute', 'start'])
  if (textOf(start) !== null) throw typeError("sum() can't sum strings [use ''.join(seq) instead]")
  const getter = attributeGetter(context, attribute)
  let total = start
  for (const item of toIterable(context, value)) total = binary('Add', context, total, attribute === null ? item : getter(item))
  return total
}

function attr(context: Context, value: Value, given: Arguments): Value {
  const [name = ''] = bind('attr', given, ['name'], 1)
  const text = textOf(name)
  if (text === null) throw typeError(`attribute name must be string, not '${typeName(name)}'`)
  if (value instanceof Undefined) throw undefinedError(value)
  const isItem = value instanceof Dict && !methodOf(context, value, text)
  return isItem ? new Undefined(`'dict object' has no attribute '${text}'`) : context.attribute(value, text)
}

function random(): Value {
  throw notSupported('The filter "random" is not supported: the same template and variables always give the same text.')
}

export const listFilters: readonly (readonly [string, Filter])[] = [
  ['attr', attr],
  ['batch', batch],
  ['count', length],
  ['first', first],
  ['items', items],
  ['join', join],
  ['last', last],
  ['length', length],
  ['list', list],
  ['random', random],
  ['reverse', reverse],
  ['slice', slice],
  ['sum', sum],
  ['unique', unique],
]
