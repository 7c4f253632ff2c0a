import { type OutputUnit, type Schema, ucs2length } from '@cfworker/json-schema'
import { didYouMean } from '../../suggest.js'
import { jsonType, sizeWithin } from '../json-values.js'
import type { SchemaNode } from './nodes.js'

/** What is wrong with a value, and with which property of it where it is one that is not there. */
export type Fault = { message: string; missing?: string }

const maxListed = 10
const maxQuoted = 60

/** What the validator found, in words that name what is expected and what is there, never the value itself. */
export function faultsOf(assertions: Schema, value: unknown, errors: readonly OutputUnit[]): Fault[] {
  const keywords = new Set(errors.map(({ keyword }) => keyword))
  // What else is wrong with a value of another type says nothing more.
  if (keywords.has('type')) return [{ message: wrongType(typesOf(assertions), value) }]
  return [...keywords].flatMap((keyword) => wordings[keyword]?.(assertions, value) ?? [{ message: `Breaks "${keyword}".` }])
}

export function wrongType(types: readonly string[], value: unknown): string {
  return `Expected ${orList(types)}, found ${foundType(types, value)}.`
}

export function typesOf({ type }: Schema): readonly string[] {
  return type === undefined ? [] : Array.isArray(type) ? type : [type]
}

/** Whether the types that a schema names have the value's among them; true where it names none. */
export function admitsType(node: SchemaNode, value: unknown): boolean {
  const types = node.isNever ? ['nothing'] : typesOf(node.assertions ?? {})
  const found = jsonType(value) ?? ''
  return types.length === 0 || types.includes(found) || (types.includes('integer') && Number.isInteger(value))
}

function foundType(types: readonly string[], value: unknown): string {
  const found = jsonType(value) ?? typeof value
  return found === 'number' && types.includes('integer') ? 'a number that is not whole' : found
}

const wordings: Record<string, (assertions: Schema, value: unknown) => Fault[]> = {
  const: ({ const: only }) => say(`Expected ${quoted(only)}.`),
  enum: ({ enum: choices = [] }, value) => {
    const texts = choices.filter((choice) => typeof choice === 'string')
    return say(`Expected one of ${listed(choices)}.${typeof value === 'string' ? suggestion(value, texts) : ''}`)
  },
  required: ({ required = [] }, value) =>
    required
      .filter((name) => !Object.hasOwn(value as object, name))
      .map((name) => ({ missing: name, message: 'This is required and missing.' })),
  dependentRequired: ({ dependentRequired = {} }, value) =>
    Object.entries(dependentRequired)
      .filter(([name]) => Object.hasOwn(value as object, name))
      .flatMap(([name, others]) => others.filter((other) => !Object.hasOwn(value as object, other)).map((other) => [name, other]))
      .map(([name, other]) => ({ missing: other, message: `This is required beside ${quoted(name)}, and missing.` })),
  minProperties: ({ minProperties }, value) =>
    say(`Expected at least ${minProperties} properties, found ${propertiesOf(value)}.`),
  maxProperties: ({ maxProperties }, value) => say(`Expected at most ${maxProperties} properties, found ${propertiesOf(value)}.`),
  minItems: ({ minItems }, value) => say(`Expected at least ${counted(minItems, 'item')}, found ${(value as unknown[]).length}.`),
  maxItems: ({ maxItems }, value) => say(`Expected at most ${counted(maxItems, 'item')}, found ${(value as unknown[]).length}.`),
  minLength: ({ minLength }, value) =>
    say(`Expected at least ${counted(minLength, 'character')}, found ${ucs2length(value as string)}.`),
  maxLength: ({ maxLength }, value) =>
    say(`Expected at most ${counted(maxLength, 'character')}, found ${ucs2length(value as string)}.`),
  minimum: ({ minimum }, value) => say(`Expected ${minimum} or more, found ${value}.`),
  maximum: ({ maximum }, value) => say(`Expected ${maximum} or less, found ${value}.`),
  exclusiveMinimum: ({ exclusiveMinimum }, value) => say(`Expected more than ${exclusiveMinimum}, found ${value}.`),
  exclusiveMaximum: ({ exclusiveMaximum }, value) => say(`Expected less than ${exclusiveMaximum}, found ${value}.`),
  multipleOf: ({ multipleOf }, value) => say(`Expected a multiple of ${multipleOf}, found ${value}.`),
  format: ({ format }) => say(`Expected a text of the format ${quoted(format)}.`),
}

function say(message: string): Fault[] {
  return [{ message }]
}

function counted(count: number | undefined, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function propertiesOf(value: unknown): number {
  return Object.keys(value as object).length
}

/** Names and values of the schema as JSON; what is long is cut, or only said to be there. */
export function quoted(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > maxQuoted ? `${value.slice(0, maxQuoted)}…` : value)
  const isShort = sizeWithin(value, { values: 20, characters: maxQuoted, depth: 4 }) !== null
  return isShort ? JSON.stringify(value) : `a certain ${jsonType(value)}`
}

/** Comparing texts takes the product of their lengths, and there may be as many faults as there are values. */
export function suggestion(wanted: string, candidates: readonly string[]): string {
  return wanted.length > 32 || candidates.length > 30 ? '' : didYouMean(wanted, candidates)
}

export function listed(values: readonly unknown[]): string {
  const more = values.length - maxListed
  return `${values.slice(0, maxListed).map(quoted).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
