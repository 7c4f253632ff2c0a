import { isObject } from '../json-values.js'
import { type Effort, EffortExceeded } from './effort.js'

const maxDepth = 64
const charactersOfStep = 64

/** The indexes of the first two items that are equal as JSON, whatever the order of their keys; null where there are none. */
export function findDuplicate(items: readonly unknown[], effort: Effort): [number, number] | null {
  const indexes = new Map<string, number>()
  for (const [index, item] of items.entries()) {
    const text = textOf(item, effort, 0)
    const first = indexes.get(text)
    if (first !== undefined) return [first, index]
    indexes.set(text, index)
  }
  return null
}

/** A text that two values share only if they are equal. */
function textOf(value: unknown, effort: Effort, depth: number): string {
  if (depth > maxDepth) throw new EffortExceeded(`The value is nested deeper than ${maxDepth}.`)
  effort.spend(1)
  if (typeof value === 'string') {
    effort.spend(value.length / charactersOfStep)
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, effort, depth + 1)).join(',')}]`
  if (!isObject(value)) return String(value === 0 ? 0 : value)
  const keys = Object.keys(value).sort()
  return `{${keys.map((key) => `${textOf(key, effort, depth + 1)}:${textOf(value[key], effort, depth + 1)}`).join(',')}}`
}
