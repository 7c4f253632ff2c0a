import { bind, flag } from '../values/arguments.js'
import type { Arguments, Context, Filter } from '../values/operations.js'
import { isTruthy, Undefined, type Value } from '../values/values.js'
import { listFilters } from './lists.js'
import { numberFilters } from './numbers.js'
import { orderFilters } from './order.js'
import { outputFilters } from './output.js'
import { selectFilters } from './select.js'
import { textFilters } from './text.js'

function fallback(_context: Context, value: Value, given: Arguments): Value {
  const [other = '', replacesFalse] = bind('default', given, ['default_value', 'boolean'])
  return value instanceof Undefined || (flag(replacesFalse) && !isTruthy(value)) ? other : value
}

/** All builtin filters of Jinja2, by their names. */
export const filters: ReadonlyMap<string, Filter> = new Map([
  ['default', fallback],
  ['d', fallback],
  ...listFilters,
  ...numberFilters,
  ...orderFilters,
  ...outputFilters,
  ...selectFilters,
  ...textFilters,
])

/** These are there, but refuse whatever they are given: a template that names one cannot be rendered. */
export const refusedFilters: ReadonlySet<string> = new Set(['random', 'urlize'])
