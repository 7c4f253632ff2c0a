import { typeError, undefinedError } from './arguments.js'
import type { Context } from './operations.js'
import { float, int, isFloat, isList, numberOf, Tuple, typeName, Undefined, type Value } from './values.js'

/** Python's `+` as `sum` uses it: of numbers, lists and tuples. */
export function add(context: Context, a: Value, b: Value): Value {
  const [left, right] = [numberOf(a), numberOf(b)]
  if (left !== null && right !== null) {
    if (isFloat(a) || isFloat(b)) return float(Number(left) + Number(right))
    return int(BigInt(left) + BigInt(right))
  }
  if (isList(a) && isList(b)) {
    context.budget.step(a.length + b.length)
    return [...a, ...b]
  }
  if (a instanceof Tuple && b instanceof Tuple) {
    context.budget.step(a.items.length + b.items.length)
    return new Tuple([...a.items, ...b.items])
  }
  if (a instanceof Undefined) throw undefinedError(a)
  if (b instanceof Undefined) throw undefinedError(b)
  throw typeError(`unsupported operand type(s) for +: '${typeName(a)}' and '${typeName(b)}'`)
}
