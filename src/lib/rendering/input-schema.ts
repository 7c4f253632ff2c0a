import { type JsonObject, jsonType, ownValue, sizeWithin } from './json-values.js'
import { Check, type InputFinding, type Leniency } from './schema/check.js'
import { Effort } from './schema/effort.js'
import { keywords } from './schema/keywords.js'
import { emptyNode, type SchemaNode } from './schema/nodes.js'
import { within } from './schema/places.js'
import { type SchemaFinding, SchemaReader } from './schema/reader.js'

/** What an `inputs` may be: JSON is nested 64 deep at most, and a schema of one prompt is a matter of some kilobytes. */
const limits = { values: 3_000, characters: 262_144, depth: 64 }

/** An `inputs` that has been read; it can be kept, and used any number of times. */
export type PreparedInputSchema = {
  /** What a push refuses. A check leaves it out, or where nothing could be read, lets everything through. */
  findings: readonly SchemaFinding[]
  root: SchemaNode
  /** The values that variables have which are not given. */
  defaults: ReadonlyMap<string, unknown>
}

const schemaPlace = { parent: null, step: 'inputs' }
const variablesPlace = { parent: null, step: 'variables' }

/**
 * What is wrong with the `inputs` of a prompt, a JSON Schema of its variables as of 2020-12; the spellings of the drafts before
 * are understood. Keywords that nobody knows are annotations. Refused is what is malformed, what would make checking slow
 * (`pattern`, other documents in `$ref`), and what is not supported: it would be taken for something that is checked. Pure.
 */
export function checkInputSchema(inputs: JsonObject): readonly SchemaFinding[] {
  return prepareInputSchema(inputs).findings
}

/**
 * Reads an `inputs`, so that it can be checked against many times. `default` of a property directly below it is what its
 * variable is where it is not given; null is a default only where the property may be null. Pure.
 */
export function prepareInputSchema(inputs: JsonObject): PreparedInputSchema {
  if (!sizeWithin(inputs, limits)) {
    const message = `The schema has more than ${limits.values} values or 256 KiB, or is nested deeper than ${limits.depth}. Simplify it.`
    return { findings: [{ path: 'inputs', message }], root: emptyNode(), defaults: new Map() }
  }
  const reader = new SchemaReader(inputs, 'inputs')
  const root = reader.read()
  const defaults = readDefaults(root)
  return { findings: [...outermostFindings(inputs), ...reader.findings, ...defaults.findings], root, defaults: defaults.values }
}

/**
 * What is wrong with the variables, by the schema; at most 50 findings. A schema or a value that would hold the caller up is
 * one finding of the code `too_complex`. `partial` lets variables be absent. Pure.
 */
export function validateInputs(
  inputs: JsonObject | PreparedInputSchema,
  variables: JsonObject,
  leniency: Leniency = 'strict',
): InputFinding[] {
  const { root } = isPrepared(inputs) ? inputs : prepareInputSchema(inputs)
  return new Check(variablesPlace, leniency).findings(root, variables)
}

/** A map cannot come from JSON. */
function isPrepared(inputs: JsonObject | PreparedInputSchema): inputs is PreparedInputSchema {
  return inputs.defaults instanceof Map
}

/** A schema of something else than the variables together is a slip: it fits nothing, or everything. */
function outermostFindings(inputs: JsonObject): SchemaFinding[] {
  const type = ownValue(inputs, 'type')
  const types = Array.isArray(type) ? type : [type]
  if (typeof type === 'string' || Array.isArray(type)) {
    if (types.includes('object')) return []
    return [
      {
        path: 'inputs.type',
        message: 'The variables together are an object. Write "object", and each of them under "properties".',
      },
    ]
  }
  const names = Object.keys(inputs)
  const isMapOfVariables = names.some((name) => jsonType(inputs[name]) === 'object') && !names.some((name) => keywords.has(name))
  if (!isMapOfVariables) return []
  const message =
    'This is no JSON Schema: it says nothing of the variables. Write {"type": "object", "properties": {…}} with them.'
  return [{ path: 'inputs', message }]
}

function readDefaults(root: SchemaNode): { values: Map<string, unknown>; findings: SchemaFinding[] } {
  const values = new Map<string, unknown>()
  const findings: SchemaFinding[] = []
  const effort = new Effort()
  for (const [name, property] of root.properties ?? []) {
    if (!property.default) continue
    const { value } = property.default
    const place = within(within(within(schemaPlace, 'properties'), name), 'default')
    const faults = new Check(place, 'strict', effort).findings(property, value)
    if (faults.length === 0) values.set(name, value)
    // Many tools write null where there is no default.
    else if (value !== null) findings.push(...faults.map(({ path, message }) => ({ path, message })))
    if (faults.some(({ code }) => code === 'too_complex')) break
  }
  return { values, findings: findings.slice(0, 50) }
}
