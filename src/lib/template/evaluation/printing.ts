import { typeError } from '../values/arguments.js'
import { textFor } from '../values/iteration.js'
import { Markup, typeName, Undefined, type Value } from '../values/values.js'
import type { Run } from './frame.js'
import { MissingVariable } from './frame.js'

/** The text of a value, as `{{ … }}` and `~` have it. */
export function printed(run: Run, value: Value): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  if (value instanceof Undefined) {
    if (value instanceof MissingVariable) run.onMissing?.(value.name)
    return ''
  }
  if (value instanceof Markup) return value.text
  return textFor(run.context, value)
}

/** The text of a `filter` block, whose filters have to give one. */
export function filteredText(_run: Run, value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  throw typeError(`sequence item 0: expected str instance, ${typeName(value)} found`)
}
