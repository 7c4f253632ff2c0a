import { didYouMean } from '../../suggest.js'
import { isObject, jsonType } from '../json-values.js'

/** Why a keyword may not have a value, and what to do; null where it may. */
type Objection = (value: unknown) => string | null

const typeNames = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']
/** What the types are called elsewhere. */
const otherNames = new Map([
  ...['str', 'text', 'char', 'markdown', 'date'].map((name) => [name, 'string'] as const),
  ...['int', 'int32', 'int64', 'long'].map((name) => [name, 'integer'] as const),
  ...['float', 'double', 'decimal'].map((name) => [name, 'number'] as const),
  ...['bool'].map((name) => [name, 'boolean'] as const),
  ...['list', 'tuple'].map((name) => [name, 'array'] as const),
  ...['dict', 'map', 'json', 'mapping'].map((name) => [name, 'object'] as const),
  ...['none', 'nil', 'undefined'].map((name) => [name, 'null'] as const),
])

/** The formats that are checked; their patterns take time that grows with the text and no faster. */
export const checkedFormats: ReadonlySet<string> = new Set([
  ...['date', 'time', 'date-time', 'duration', 'uri', 'uri-reference', 'uri-template', 'email', 'hostname', 'ipv4', 'ipv6'],
  ...['uuid', 'json-pointer', 'json-pointer-uri-fragment', 'relative-json-pointer'],
])

/** Keywords whose value is a schema, a list of schemas, or an object of schemas by name. */
export const schemaKeywords = ['not', 'if', 'then', 'else', 'additionalProperties', 'propertyNames', 'contains'] as const
export const schemaListKeywords = ['allOf', 'anyOf', 'oneOf', 'prefixItems'] as const
export const schemaMapKeywords = ['properties', 'dependentSchemas', '$defs', 'definitions'] as const

export type SchemaKeyword = (typeof schemaKeywords)[number]

const noPatterns =
  'a pattern can take for ever on some texts. List what is allowed with "enum", or check it where the text comes from.'

const refused: Record<string, string> = {
  pattern: `"pattern" is refused: ${noPatterns}`,
  patternProperties: `"patternProperties" is refused: ${noPatterns}`,
  $dynamicRef: '"$dynamicRef" is not supported. Use "$ref".',
  $dynamicAnchor: '"$dynamicAnchor" is not supported. Use "$anchor" and "$ref".',
  $recursiveRef: '"$recursiveRef" is not supported. Use "$ref": "#".',
  $recursiveAnchor: '"$recursiveAnchor" is not supported. Use "$ref": "#".',
  unevaluatedProperties: '"unevaluatedProperties" is not supported. Use "additionalProperties" beside "properties".',
  unevaluatedItems: '"unevaluatedItems" is not supported. Use "items" beside "prefixItems".',
}

const count: Objection = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? null : 'Expected a whole number, 0 or more.'
const finite: Objection = (value) => (Number.isFinite(value) ? null : 'Expected a number.')
const bound: Objection = (value) => (typeof value === 'boolean' ? null : finite(value))
const text: Objection = (value) => (typeof value === 'string' ? null : `Expected a text, found ${jsonType(value)}.`)
const truth: Objection = (value) => (typeof value === 'boolean' ? null : `Expected true or false, found ${jsonType(value)}.`)
const anything: Objection = () => null
const object: Objection = (value) =>
  isObject(value) ? null : `Expected an object of schemas by name, found ${jsonType(value)}. Write {"name": {"type": "string"}}.`
const schemas: Objection = (value) =>
  Array.isArray(value) && value.length > 0 ? null : 'Expected a list of at least one schema.'

const isTexts = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === 'string')

function requiredNames(value: unknown): string | null {
  if (isTexts(value)) return null
  if (typeof value !== 'boolean') return 'Expected a list of property names.'
  return 'Expected a list of property names. To require this property, name it in "required" of the object around it.'
}

function type(value: unknown): string | null {
  const names = Array.isArray(value) ? value : [value]
  if (names.length === 0) return 'Expected at least one type.'
  for (const name of names) {
    if (typeof name !== 'string') return `Expected the name of a type, or a list of them, found ${jsonType(name)}.`
    if (!typeNames.includes(name)) return unknownType(name)
  }
  return null
}

function unknownType(name: string): string {
  if (name === 'any') return '"any" is no type. Leave "type" out where any value will do.'
  const other = otherNames.get(name.toLowerCase())
  const hint = other ? ` Did you mean "${other}"?` : didYouMean(name.toLowerCase(), typeNames)
  return `"${name.slice(0, 40)}" is no type of JSON Schema.${hint} There are ${typeNames.join(', ')}.`
}

function format(value: unknown): string | null {
  if (typeof value !== 'string') return text(value)
  if (value === 'regex') return `The format "regex" is refused: ${noPatterns}`
  return value === 'url' ? 'The format "url" is refused: it can take for ever on some texts. Use "uri".' : null
}

function reference(value: unknown): string | null {
  if (typeof value !== 'string') return text(value)
  if (value === '' || value.startsWith('#')) return null
  return `"${value.slice(0, 100)}" is not within this schema. Copy what it refers to into "$defs", and write "#/$defs/name".`
}

function anchor(value: unknown): string | null {
  return typeof value === 'string' && /^[A-Za-z_][\w.-]*$/.test(value)
    ? null
    : 'Expected a name of letters, digits, "_", "." and "-".'
}

function choices(value: unknown): string | null {
  return Array.isArray(value) && value.length > 0 ? null : 'Expected a list of at least one value.'
}

function positive(value: unknown): string | null {
  return Number.isFinite(value) && (value as number) > 0 ? null : 'Expected a number above 0.'
}

function namesByProperty(value: unknown): string | null {
  return isObject(value) && Object.values(value).every(isTexts) ? null : 'Expected an object with a list of property names each.'
}

function schemasOrNames(value: unknown): string | null {
  return isObject(value) ? null : 'Expected an object with a schema or a list of property names each.'
}

function nullable(value: unknown): string | null {
  return value === true ? 'JSON Schema has no "nullable". Write null as a type: "type": ["string", "null"].' : null
}

/** What each keyword may have for a value. Schemas in it are looked at by themselves; any other keyword is an annotation. */
export const keywords: ReadonlyMap<string, Objection> = new Map<string, Objection>([
  ...Object.entries(refused).map(([keyword, message]): [string, Objection] => [keyword, () => message]),
  ...schemaKeywords.map((keyword): [string, Objection] => [keyword, anything]),
  ...schemaListKeywords.map((keyword): [string, Objection] => [keyword, schemas]),
  ...schemaMapKeywords.map((keyword): [string, Objection] => [keyword, object]),
  ...['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties', 'minContains', 'maxContains'].map(
    (keyword): [string, Objection] => [keyword, count],
  ),
  ...['$schema', '$comment', 'title', 'description', '$id'].map((keyword): [string, Objection] => [keyword, text]),
  ['items', (value) => (Array.isArray(value) ? schemas(value) : null)],
  ['additionalItems', anything],
  ['dependencies', schemasOrNames],
  ['dependentRequired', namesByProperty],
  ['type', type],
  ['nullable', nullable],
  ['enum', choices],
  ['const', anything],
  ['default', anything],
  ['required', requiredNames],
  ['minimum', finite],
  ['maximum', finite],
  ['exclusiveMinimum', bound],
  ['exclusiveMaximum', bound],
  ['multipleOf', positive],
  ['uniqueItems', truth],
  ['format', format],
  ['$ref', reference],
  ['$anchor', anchor],
])
