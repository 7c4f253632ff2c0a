import type { Schema } from '@cfworker/json-schema'
import { isObject, type JsonObject } from '../json-values.js'
import { checkedFormats } from './keywords.js'
import type { SchemaNode } from './nodes.js'

/** The keywords of one schema that are well-formed. */
export type Keywords = ReadonlyMap<string, unknown>

type Assertions = Pick<SchemaNode, 'assertions' | 'lenientAssertions' | 'weight' | 'comparedContainers'>

const plainKeywords = [
  ...['type', 'const', 'enum', 'required', 'minProperties', 'maxProperties', 'minItems', 'maxItems', 'multipleOf'],
  ...['minLength', 'maxLength'],
] as const

const assertionKeywords: ReadonlySet<string> = new Set([
  ...plainKeywords,
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'dependentRequired', 'dependencies', 'format'],
])

/** What a schema says of a value without looking into it; null where that is nothing. */
export function assertionsOf(accepted: Keywords): Assertions | null {
  if (![...accepted.keys()].some((keyword) => assertionKeywords.has(keyword))) return null
  const found: JsonObject = { ...boundsOf(accepted), ...dependentRequiredOf(accepted) }
  for (const keyword of plainKeywords) if (accepted.has(keyword)) found[keyword] = accepted.get(keyword)
  const format = accepted.get('format')
  // The validator looks formats up in an object that has inherited ones: "constructor" is no format.
  if (typeof format === 'string' && checkedFormats.has(format)) found.format = format
  const { required, ...others } = found
  return {
    assertions: schemaOrNull(found),
    lenientAssertions: schemaOrNull(others),
    ...costOf(accepted, Array.isArray(required) ? required.length : 0),
  }
}

function schemaOrNull(assertions: JsonObject): Schema | null {
  return Object.keys(assertions).length > 0 ? assertions : null
}

/** In the draft of 2013 an exclusive bound is a flag of the other one. */
function boundsOf(accepted: Keywords): JsonObject {
  const bounds: JsonObject = {}
  for (const [inclusive, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    const [limit, other] = [accepted.get(inclusive), accepted.get(exclusive)]
    if (limit !== undefined) bounds[other === true ? exclusive : inclusive] = limit
    if (typeof other === 'number') bounds[exclusive] = other
  }
  return bounds
}

function dependentRequiredOf(accepted: Keywords): JsonObject {
  const sources = [accepted.get('dependentRequired'), accepted.get('dependencies')].filter(isObject)
  const names = new Map<string, string[]>()
  for (const [key, value] of sources.flatMap((source) => Object.entries(source))) {
    if (Array.isArray(value)) names.set(key, [...(names.get(key) ?? []), ...value.filter((name) => typeof name === 'string')])
  }
  return names.size > 0 ? { dependentRequired: Object.fromEntries(names) } : {}
}

const valuesOfStep = 16
const charactersOfStep = 256

function costOf(accepted: Keywords, required: number): Pick<SchemaNode, 'weight' | 'comparedContainers'> {
  const pending: unknown[] = ['const', 'enum', 'dependentRequired', 'dependencies'].map((keyword) => accepted.get(keyword))
  const isCompared = (value: unknown) => typeof value === 'object' && value !== null
  let values = required
  let characters = 0
  let comparedContainers = 0
  while (pending.length > 0) {
    const value = pending.pop()
    if (value === undefined) continue
    values += 1
    if (typeof value === 'string') characters += value.length
    if (isCompared(value)) {
      comparedContainers += 1
      for (const child of Object.values(value as object)) pending.push(child)
    }
  }
  return { weight: values / valuesOfStep + characters / charactersOfStep, comparedContainers }
}
