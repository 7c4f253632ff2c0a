import { isObject, type JsonObject } from '../lib/rendering/json-values.js'
import { findUnstorable } from '../lib/text.js'
import { PromptsyncError } from './problem.js'

/** As deep as the server takes them. */
const maxDepth = 64

/**
 * The variables as a server would get them: what JSON has no form for becomes what `JSON.stringify` makes of it, a date its
 * text say. What is JSON already is taken as it is. Throws what the server would, and `client.invalid` for what cannot be sent.
 */
export function toJsonVariables(variables: object): JsonObject {
  if (!isObject(variables)) throw invalidVariables('must be an object, with a value for each name.')
  const json = isJson(variables, maxDepth) ? variables : throughJson(variables)
  const finding = findUnstorable(json, 'variables')
  if (finding) throw new PromptsyncError('text.invalid', finding.message, { status: 422, errors: [finding] })
  const lost = findLost(json)
  if (lost === null) return json
  throw new PromptsyncError('text.invalid', `The number ${lost} is too large to be kept exactly. Send it as text.`, {
    status: 422,
  })
}

/** A number that JSON writes out as an integer of more digits than are kept: it may not be the one that was meant. */
function findLost(value: unknown): number | null {
  if (typeof value === 'number') return !Number.isSafeInteger(value) && /^-?\d+$/.test(`${value}`) ? value : null
  if (typeof value !== 'object' || value === null) return null
  for (const child of Object.values(value)) {
    const lost = findLost(child)
    if (lost !== null) return lost
  }
  return null
}

function throughJson(variables: JsonObject): JsonObject {
  const json = parsed(variables)
  if (isJson(json, maxDepth)) return json
  throw invalidVariables(`are nested over ${maxDepth} levels deep. Nest less.`)
}

function parsed(variables: JsonObject): JsonObject {
  try {
    return JSON.parse(JSON.stringify(variables)) as JsonObject
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw invalidVariables(`cannot be written as JSON: ${error.message.split('\n')[0]}`, error)
  }
}

function invalidVariables(what: string, cause?: unknown): PromptsyncError {
  return new PromptsyncError('client.invalid', `The variables ${what}`, { status: null, cause })
}

function isJson(value: unknown, depth: number): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object' || depth === 0) return false
  // A hole in a list is no member of its own.
  if (Array.isArray(value)) return Array.from(value).every((item) => isJson(item, depth - 1))
  const prototype = Object.getPrototypeOf(value)
  // Objects of other realms, of a test runner say, are plain as well.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false
  if ('toJSON' in value) return false
  return Object.values(value).every((item) => isJson(item, depth - 1))
}
