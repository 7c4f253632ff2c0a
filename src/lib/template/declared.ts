import { didYouMean } from '../suggest.js'
import { quote } from './template-error.js'
import type { Variable } from './variables.js'

/** Of one prompt no more are told. */
const maxWarnings = 50
/** Comparing names takes long, so that there are hints for the first warnings only, and of the first names. */
const maxHints = 20
const maxCandidates = 100
/** A schema that goes through more schemas than this, to say which properties there are, is not followed further. */
const maxSchemas = 50

/**
 * What the variables that a prompt uses and the inputs it declares, a JSON Schema, do not agree in: a variable that is not
 * declared, an input that is never used, and a part of a variable that the schema surely rules out. Each is one sentence or
 * two. Inputs without properties declare nothing. Pure; reads own properties only.
 */
export function compareDeclared(variables: readonly Variable[], inputs: unknown): string[] {
  const comparison = new Comparison(inputs)
  comparison.compare(variables)
  return comparison.warnings()
}

/** What is known of an object from its schema. */
type Shape = {
  properties: Map<string, unknown>
  /** Whether there may be properties that are declared elsewhere, as in a branch of `anyOf`. */
  isOpen: boolean
  /** Whether it may have no others. */
  isClosed: boolean
}

class Comparison {
  readonly #warnings: string[] = []
  readonly #shapes = new Map<unknown, Shape>()
  #count = 0

  constructor(readonly inputs: unknown) {}

  warnings(): string[] {
    const more = this.#count - this.#warnings.length
    return more > 0
      ? [...this.#warnings, `There are ${more} more such differences between the inputs and the template.`]
      : this.#warnings
  }

  compare(variables: readonly Variable[]): void {
    const { properties, isOpen } = this.#shape(this.inputs)
    if (properties.size === 0) return
    const declared = [...properties.keys()]
    for (const { name, paths } of variables) {
      if (properties.has(name)) for (const path of paths) this.#comparePath(name, path, properties.get(name))
      else if (!isOpen) this.#warn(`The template uses ${quote(name)}, which the inputs do not declare.`, name, declared)
    }
    const used = new Set(variables.map(({ name }) => name))
    for (const name of declared) {
      if (!used.has(name)) this.#warn(`The input ${quote(name)} is declared, but the template never uses it.`)
    }
  }

  #comparePath(name: string, path: string, declared: unknown): void {
    let schema = declared
    let parent = name
    for (const step of stepsOf(path.slice(name.length))) {
      const shape = this.#shape(schema)
      const next = nextSchema(shape, follow(this.inputs, schema), step)
      if (next === undefined) {
        const { key } = step
        if (key !== null && shape.isClosed) {
          const message = `The template uses ${quote(path)}, but the inputs declare no ${quote(key)} in ${quote(parent)}.`
          this.#warn(message, key, [...shape.properties.keys()])
        }
        return
      }
      schema = next
      parent += step.text
    }
  }

  #shape(schema: unknown): Shape {
    const known = this.#shapes.get(schema)
    if (known) return known
    const shape = shapeOf(this.inputs, schema)
    this.#shapes.set(schema, shape)
    return shape
  }

  #warn(message: string, wanted = '', candidates: readonly string[] = []): void {
    this.#count += 1
    if (this.#warnings.length >= maxWarnings) return
    const hint = this.#count <= maxHints ? didYouMean(wanted, candidates.slice(0, maxCandidates)) : ''
    this.#warnings.push(`${message}${hint}`)
  }
}

type PathStep = { text: string; key: string | null }

/** The steps of a path of `templateVariables`, without its name. */
function stepsOf(rest: string): PathStep[] {
  const steps: PathStep[] = []
  const pattern = /\[\]|\.\*|\.([A-Za-z_]\w*)|\[("(?:[^"\\]|\\.)*")\]/y
  for (let match = pattern.exec(rest); match; match = pattern.exec(rest)) {
    const [text, name, quoted] = match
    steps.push({ text, key: quoted === undefined ? (name ?? null) : String(JSON.parse(quoted)) })
  }
  return steps
}

function nextSchema(shape: Shape, schema: unknown, { text, key }: PathStep): unknown {
  if (key !== null) return shape.properties.get(key)
  return text === '[]' ? own(schema, 'items') : own(schema, 'additionalProperties')
}

/** Elsewhere than in `properties` these can say what properties there are. */
const otherKeywords = ['anyOf', 'oneOf', 'if', 'not', 'dependentSchemas', 'dependencies', '$dynamicRef', '$recursiveRef']
const namedByPattern = ['patternProperties', 'propertyNames']

function shapeOf(root: unknown, schema: unknown): Shape {
  const shape: Shape = { properties: new Map(), isOpen: false, isClosed: false }
  const seen = new Set<unknown>()
  const pending = [schema]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (seen.has(next)) continue
    if (!isObject(next) || seen.size >= maxSchemas) {
      shape.isOpen = true
      continue
    }
    seen.add(next)
    addOwn(shape, next)
    const reference = own(next, '$ref')
    if (reference !== undefined) pending.push(resolve(root, reference) ?? null)
    const all = own(next, 'allOf')
    if (Array.isArray(all)) pending.push(...all.slice(0, maxSchemas + 1).reverse())
  }
  shape.isClosed &&= !shape.isOpen
  return shape
}

function addOwn(shape: Shape, schema: object): void {
  const properties = own(schema, 'properties')
  if (isObject(properties)) {
    for (const [name, property] of Object.entries(properties))
      if (!shape.properties.has(name)) shape.properties.set(name, property)
  }
  if (otherKeywords.some((keyword) => Object.hasOwn(schema, keyword))) shape.isOpen = true
  if (namedByPattern.some((keyword) => Object.hasOwn(schema, keyword))) shape.isOpen = true
  if (own(schema, 'additionalProperties') === false) shape.isClosed = true
}

/** The schema itself, or the one it is another name of. */
function follow(root: unknown, schema: unknown): unknown {
  let at = schema
  for (let hops = 0; hops < maxSchemas; hops += 1) {
    const reference = own(at, '$ref')
    if (reference === undefined) return at
    at = resolve(root, reference)
  }
  return undefined
}

/** What a local reference such as `#/$defs/document` points to. */
function resolve(root: unknown, reference: unknown): unknown {
  if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference)) return undefined
  let at = root
  for (const part of reference.split('/', maxSchemas).slice(1)) at = own(at, plainKey(part))
  return at
}

function plainKey(part: string): string {
  return decoded(part).replaceAll('~1', '/').replaceAll('~0', '~')
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    // A reference that is not encoded is taken as it is written.
    return part
  }
}

function own(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<string, unknown>)[key]
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
