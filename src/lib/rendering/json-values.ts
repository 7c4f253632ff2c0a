export type JsonObject = Record<string, unknown>

export type JsonType = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object'

/** The type of a value as JSON Schema names it; null for what JSON does not have. */
export function jsonType(value: unknown): JsonType | null {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  const type = typeof value
  return type === 'boolean' || type === 'number' || type === 'string' || type === 'object' ? type : null
}

export function isObject(value: unknown): value is JsonObject {
  return jsonType(value) === 'object'
}

/** The value of a property of the object itself; undefined for one that it merely inherits. */
export function ownValue(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** How large a value is: the values in it, itself included, and the characters of its texts and keys. */
export type Size = { values: number; characters: number; depth: number }

/** The size of a value, or null as soon as one of the limits is passed: a value that holds itself ends there as well. */
export function sizeWithin(value: unknown, limits: Size): Size | null {
  const size: Size = { values: 0, characters: 0, depth: 0 }
  let level: unknown[] = [value]
  while (level.length > 0) {
    size.depth += 1
    const next: unknown[] = []
    for (const item of level) {
      size.values += 1
      if (typeof item === 'string') size.characters += item.length
      else if (Array.isArray(item)) for (const child of item) next.push(child)
      else if (isObject(item)) {
        for (const [key, child] of Object.entries(item)) {
          size.characters += key.length
          next.push(child)
        }
      }
      const isOver = size.values + next.length > limits.values || size.characters > limits.characters
      if (isOver || size.depth > limits.depth) return null
    }
    level = next
  }
  return size
}
