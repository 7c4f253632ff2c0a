import type { Budget } from '../budget.js'
import type { Callable, Value } from './values.js'

export type Arguments = { args: readonly Value[]; kwargs: ReadonlyMap<string, Value> }

/** What filters, tests and methods may use of the rendering they are part of. */
export type Context = {
  budget: Budget
  /** Applies a filter or test by its name, as `map('upper')` and `select('odd')` do. Throws `OperationError` for unknown ones. */
  filter(name: string, value: Value, given: Arguments): Value
  test(name: string, value: Value, given: Arguments): boolean
  /** Jinja2's `value.name` and `value[key]`: `Undefined` where there is none. */
  attribute(value: Value, name: string): Value
  item(value: Value, key: Value): Value
}

/** Both throw `OperationError` where Python would raise, and `BudgetExceeded`. */
export type Filter = (context: Context, value: Value, given: Arguments) => Value
export type Test = (context: Context, value: Value, given: Arguments) => boolean

/** A method bound to its value: `name.upper`, `d.items`. */
export type Method = Callable['call']
