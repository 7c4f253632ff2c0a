import { asSwitch, bind, flag, undefinedError } from '../values/arguments.js'
import { areEqual, order, toIterable } from '../values/iteration.js'
import type { Arguments, Context, Filter } from '../values/operations.js'
import { Dict, NamedTuple, OperationError, Tuple, textOf, typeName, Undefined, type Value } from '../values/values.js'
import { attributeGetter, attributesGetter, ignoringCase } from './attribute-path.js'
import { filterArgumentError } from './lists.js'

/** Filters that put items in order. Every comparison is paid for; there is no locale in them. */

type Keyed = { key: Value; item: Value }

type Order<Key> = (a: Key, b: Key) => number

function sorted<Key>(keyed: { key: Key; item: Value }[], isReversed: boolean, by: Order<Key>): Value[] {
  const direction = isReversed ? -1 : 1
  keyed.sort((a, b) => direction * (by(a.key, b.key) || 0))
  return keyed.map(({ item }) => item)
}

function sort(context: Context, value: Value, given: Arguments): Value {
  const [isReversed, isCaseSensitive, attribute = null] = bind('sort', given, ['reverse', 'case_sensitive', 'attribute'])
  const getter = attributesGetter(context, attribute)
  const keyed = toIterable(context, value).map((item) => {
    const keys = getter(item)
    return { key: flag(isCaseSensitive) ? keys : keys.map((key) => ignoringCase(context, key)), item }
  })
  return sorted(keyed, asSwitch(isReversed), (a, b) => orderLists(context, a, b))
}

/** By the first keys that differ: equal ones need have no order, and may even be undefined. */
function orderLists(context: Context, a: readonly Value[], b: readonly Value[]): number {
  for (const [at, key] of a.entries()) {
    const other = b[at] ?? null
    if (!areEqual(context, key, other)) return order(context, key, other)
  }
  return 0
}

function dictsort(context: Context, value: Value, given: Arguments): Value {
  const [isCaseSensitive, by = 'key', isReversed] = bind('dictsort', given, ['case_sensitive', 'by', 'reverse'])
  const place = textOf(by) === 'key' ? 0 : textOf(by) === 'value' ? 1 : -1
  if (place === -1) throw filterArgumentError('You can only sort by either "key" or "value"')
  if (value instanceof Undefined) throw undefinedError(value)
  if (!(value instanceof Dict)) throw new OperationError('AttributeError', `'${typeName(value)}' object has no attribute 'items'`)
  const keyed = Array.from(value.entries(), (entry) => {
    context.budget.step()
    const key = entry[place] ?? null
    return { key: flag(isCaseSensitive) ? key : ignoringCase(context, key), item: new Tuple(entry) }
  })
  return sorted(keyed, asSwitch(isReversed), (a, b) => order(context, a, b))
}

const extreme =
  (name: 'min' | 'max'): Filter =>
  (context, value, given) => {
    const [isCaseSensitive, attribute = null] = bind(name, given, ['case_sensitive', 'attribute'])
    const getter = attributeGetter(context, attribute)
    const operator = name === 'min' ? '<' : '>'
    let best: Keyed | undefined
    for (const item of toIterable(context, value)) {
      const found = getter(item)
      const key = flag(isCaseSensitive) ? found : ignoringCase(context, found)
      const difference = best ? order(context, key, best.key, operator) : 0
      if (!best || (name === 'min' ? difference < 0 : difference > 0)) best = { key, item }
    }
    return best ? best.item : new Undefined('No aggregated item, sequence was empty.')
  }

function groupby(context: Context, value: Value, given: Arguments): Value {
  const names = ['attribute', 'default', 'case_sensitive']
  const [attribute = null, fallback = null, isCaseSensitive] = bind('groupby', given, names, 1)
  const getter = attributeGetter(context, attribute, fallback)
  const keyOf = (item: Value) => (flag(isCaseSensitive) ? getter(item) : ignoringCase(context, getter(item)))
  const keyed = toIterable(context, value).map((item) => ({ key: keyOf(item), item }))
  sorted(keyed, false, (a, b) => order(context, a, b))
  const groups: { key: Value; items: Value[] }[] = []
  for (const { key, item } of keyed) {
    const group = groups.at(-1)
    if (group && areEqual(context, group.key, key)) group.items.push(item)
    else groups.push({ key, items: [item] })
  }
  return groups.map(({ items: [first = null, ...others] }) => groupOf(getter(first), [first, ...others]))
}

/** Named as the first of the group has it, whatever the case of the others. */
function groupOf(grouper: Value, items: Value[]): Value {
  return new NamedTuple([grouper, items], ['grouper', 'list'])
}

export const orderFilters: readonly (readonly [string, Filter])[] = [
  ['sort', sort],
  ['dictsort', dictsort],
  ['min', extreme('min')],
  ['max', extreme('max')],
  ['groupby', groupby],
]
