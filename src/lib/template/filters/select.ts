import { toIterable } from '../values/iteration.js'
import type { Context, Filter } from '../values/operations.js'
import { isTruthy, OperationError, repr, textOf, typeName, type Value } from '../values/values.js'
import { attributeGetter } from './attribute-path.js'
import { filterArgumentError, generator } from './lists.js'

/** Filters that apply another filter or a test to each item. */

const map: Filter = (context, value, { args, kwargs }) => {
  if (!isTruthy(value)) return generator([])
  return generator(toIterable(context, value).map(mapper(context, args, kwargs)))
}

function mapper(context: Context, args: readonly Value[], kwargs: ReadonlyMap<string, Value>): (item: Value) => Value {
  const attribute = kwargs.get('attribute')
  if (args.length === 0 && attribute !== undefined) {
    for (const name of kwargs.keys()) {
      if (name !== 'attribute' && name !== 'default') throw filterArgumentError(`Unexpected keyword argument ${repr(name)}`)
    }
    return attributeGetter(context, attribute, kwargs.get('default') ?? null)
  }
  const [name, ...others] = args
  if (name === undefined) throw filterArgumentError('map requires a filter argument')
  const filter = nameOf(name, 'filter')
  return (item) => context.filter(filter, item, { args: others, kwargs })
}

function nameOf(name: Value, what: 'filter' | 'test'): string {
  const text = textOf(name)
  if (text === null) throw new OperationError('TemplateRuntimeError', `No ${what} named ${repr(name)} (${typeName(name)}).`)
  return text
}

const selecting =
  (keepsTrue: boolean, byAttribute: boolean): Filter =>
  (context, value, { args, kwargs }) => {
    if (!isTruthy(value)) return generator([])
    const [attribute, ...afterAttribute] = args
    if (byAttribute && attribute === undefined) throw filterArgumentError('Missing parameter for attribute name')
    const getter = byAttribute ? attributeGetter(context, attribute ?? null) : (item: Value) => item
    const [name, ...others] = byAttribute ? afterAttribute : args
    const test = name === undefined ? null : nameOf(name, 'test')
    const holds = (item: Value) => (test === null ? isTruthy(item) : context.test(test, item, { args: others, kwargs }))
    return generator(toIterable(context, value).filter((item) => holds(getter(item)) === keepsTrue))
  }

export const selectFilters: readonly (readonly [string, Filter])[] = [
  ['map', map],
  ['select', selecting(true, false)],
  ['reject', selecting(false, false)],
  ['selectattr', selecting(true, true)],
  ['rejectattr', selecting(false, true)],
]
