import { FileError } from './file-error.js'
import { isMapping } from './yaml.js'

type Mapping = Record<string, unknown>

/** How writers of prompts name the types of JSON Schema; any other type is kept as `kind`, which no schema checks. */
const typeNames: Record<string, string[]> = {
  string: ['string', 'str', 'text'],
  number: ['number', 'float', 'double'],
  integer: ['integer', 'int'],
  boolean: ['boolean', 'bool'],
  object: ['object', 'dict', 'map', 'mapping', 'json'],
  array: ['array', 'list'],
}
const types = new Map(Object.entries(typeNames).flatMap(([type, names]) => names.map((name) => [name, type] as const)))
/** What is said of an input by other words than those of JSON Schema. */
const ownWords = ['name', 'type', 'kind', 'sample', 'example', 'enumValues', 'required', 'is_required', 'isRequired', 'optional']

/**
 * A JSON schema of what a file says of its inputs: a mapping of names to descriptions or to plain samples, a list of such
 * descriptions, or a schema already. Null where it is none of them.
 */
export function inputsSchema(inputs: unknown, sample?: unknown): Mapping | null {
  if (isSchema(inputs)) return inputs
  const described =
    isMapping(inputs) && inputs.properties !== undefined && !describes(inputs.properties) ? inputs.properties : inputs
  const entries = entriesOf(described)
  if (!entries) return null
  if (entries.some(([name]) => name === '__proto__'))
    throw new FileError('an input is called "__proto__", which is refused. Rename it.')
  const properties = new Map(entries.map(([name, said]) => [name, propertyOf(said)]))
  for (const [name, value] of isMapping(sample) ? Object.entries(sample) : []) {
    const property = properties.get(name) ?? typed(value)
    if (!property.examples) properties.set(name, believed({ ...property, examples: [value] }))
  }
  if (properties.size === 0) return null
  const required = entries.filter(([, said]) => isRequired(said)).map(([name]) => name)
  return { type: 'object', properties: Object.fromEntries(properties), ...(required.length > 0 && { required }) }
}

function isSchema(inputs: unknown): inputs is Mapping {
  if (!isMapping(inputs)) return false
  return inputs.$schema !== undefined || (inputs.type === 'object' && isMapping(inputs.properties))
}

/** An input may itself be called `properties`. */
function describes(value: unknown): boolean {
  return isMapping(value) && (typeof value.type === 'string' || typeof value.kind === 'string')
}

function entriesOf(inputs: unknown): [string, unknown][] | null {
  if (inputs === undefined) return []
  if (isMapping(inputs)) return Object.entries(inputs)
  if (!Array.isArray(inputs)) return null
  const entries = inputs.map((input): [string, unknown] | null => {
    if (typeof input === 'string') return [input, {}]
    return isMapping(input) && typeof input.name === 'string' ? [input.name, input] : null
  })
  return entries.every((entry) => entry !== null) ? entries : null
}

function isRequired(said: unknown): boolean {
  if (!isMapping(said) || said.optional === true) return false
  return [said.required, said.is_required, said.isRequired].includes(true)
}

function propertyOf(said: unknown): Mapping {
  if (!isMapping(said)) return said === null ? {} : { ...typed(said), examples: [said] }
  const rest = Object.fromEntries(
    Object.entries(said).filter(([key, value]) => value !== null && !(ownWords.includes(key) && isOwnWord(key, value))),
  )
  const named = said.type ?? said.kind
  const type = typeof named === 'string' ? types.get(named.toLowerCase()) : undefined
  const sample = said.sample ?? said.example ?? undefined
  return believed({
    ...(type ? { type } : typeof named === 'string' && { kind: named }),
    ...rest,
    ...(Array.isArray(said.enumValues) && { enum: said.enumValues }),
    ...(sample !== undefined && { examples: [sample] }),
  })
}

/** Nothing checks the types in files, so one that the input's own default or sample contradicts is not to be relied on. */
function believed(property: Mapping): Mapping {
  const { type, ...rest } = property
  const examples = Array.isArray(rest.examples) ? rest.examples : []
  const values = [rest.default, ...examples].filter((value) => value != null && !isReference(value))
  return typeof type === 'string' && values.some((value) => !isOfType(value, type)) ? { kind: type, ...rest } : property
}

function isReference(value: unknown): boolean {
  return typeof value === 'string' && /^\s*\$\{/.test(value)
}

function isOfType(value: unknown, type: string): boolean {
  const actual = typed(value).type
  return type === 'integer' ? Number.isInteger(value) : actual === type
}

/** `required: [city]` and `type: [string, "null"]` belong to a schema. */
function isOwnWord(key: string, value: unknown): boolean {
  if (['type', 'kind', 'name'].includes(key)) return typeof value === 'string'
  if (key === 'enumValues') return Array.isArray(value)
  return ['sample', 'example'].includes(key) || typeof value === 'boolean'
}

function typed(value: unknown): Mapping {
  if (value === null || value === undefined) return {}
  if (Array.isArray(value)) return { type: 'array' }
  return { type: typeof value }
}
