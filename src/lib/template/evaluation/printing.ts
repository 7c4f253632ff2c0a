import { textFor } from '../values/iteration.js'
import { Markup, Undefined, type Value } from '../values/values.js'
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
