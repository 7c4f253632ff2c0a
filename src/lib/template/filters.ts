import { bind, flag } from './arguments.js'
import { listFilters } from './filters-lists.js'
import { numberFilters } from './filters-numbers.js'
import { orderFilters } from './filters-order.js'
import { outputFilters } from './filters-output.js'
import { selectFilters } from './filters-select.js'
import { textFilters } from './filters-text.js'
import type { Arguments, Context, Filter } from './operations.js'
import { isTruthy, Undefined, type Value } from './values.js'

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
