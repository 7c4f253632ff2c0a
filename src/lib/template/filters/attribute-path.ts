import type { Context } from '../values/operations.js'
import { textOf, Undefined, type Value } from '../values/values.js'

/** What filters take as `attribute`: a name, a path such as `address.0.city`, or an index. */
export type Getter = (item: Value) => Value

export function attributeGetter(context: Context, attribute: Value, fallback: Value = null): Getter {
  const parts = partsOf(attribute)
  context.budget.step(parts.length)
  return (item) => {
    let value = item
    for (const part of parts) {
      context.budget.step()
      value = context.item(value, part)
      if (fallback !== null && value instanceof Undefined) value = fallback
    }
    return value
  }
}

/** Several, separated by commas: each gives one of the values. */
export function attributesGetter(context: Context, attributes: Value): (item: Value) => Value[] {
  const names = textOf(attributes)?.split(',') ?? [attributes]
  context.budget.step(names.length)
  const getters = names.map((name) => attributeGetter(context, name))
  return (item) => getters.map((getter) => getter(item))
}

function partsOf(attribute: Value): Value[] {
  if (attribute === null) return []
  const path = textOf(attribute)
  return path === null ? [attribute] : path.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part))
}

/** Texts are sorted and told apart without their case, unless `case_sensitive` is asked for. */
export function ignoringCase(context: Context, value: Value): Value {
  const text = textOf(value)
  if (text === null) return value
  context.budget.characters(2 * text.length)
  return text.toLowerCase()
}
