import { type OutputUnit, type Schema, validate } from '@cfworker/json-schema'
import { isObject, type JsonObject, jsonType, sizeWithin } from '../json-values.js'
import { Effort, EffortExceeded } from './effort.js'
import type { SchemaNode } from './nodes.js'
import { type Place, pathOf, within } from './places.js'
import { findDuplicate } from './uniqueness.js'
import { admitsType, faultsOf, listed, quoted, suggestion, typesOf, wrongType } from './wording.js'

/** `missing` is said of a property of the outermost object, which is a variable. */
export type InputFinding = { path: string; message: string; code: 'missing' | 'invalid' | 'too_complex' }

/** There may be as many faults as there are values; the first ones will do. */
export const maxFindings = 50

/** Where faults are written down. Without one, the first of them ends the search. */
type Report = InputFinding[] | null

export type Leniency = 'strict' | 'partial'

/**
 * Compares a value with a schema. The validator judges one schema and one value at a time; where to go from there is decided
 * here, because it counts no steps: schemas that name each other take it exponential time, `uniqueItems` quadratic, and a
 * list with very many faults overflows its stack.
 */
export class Check {
  readonly #root: Place
  readonly #leniency: Leniency
  readonly #effort: Effort
  readonly #keys = new Map<object, readonly string[]>()
  #conditions = 0

  /** `partial` lets properties of the outermost object be absent. */
  constructor(root: Place, leniency: Leniency, effort = new Effort()) {
    this.#root = root
    this.#leniency = leniency
    this.#effort = effort
  }

  /** What is wrong with the value, up to a bound. */
  findings(node: SchemaNode, value: unknown): InputFinding[] {
    const report: InputFinding[] = []
    try {
      this.#fits(node, value, this.#root, report)
    } catch (error) {
      if (!(error instanceof EffortExceeded)) throw error
      const message = `Checking this against the schema takes too long. ${error.message} Give less, or make the schema simpler.`
      report.push({ path: pathOf(this.#root), message, code: 'too_complex' })
    }
    return report.slice(0, maxFindings)
  }

  #fits(node: SchemaNode, value: unknown, place: Place, report: Report): boolean {
    this.#effort.spend(1 + node.weight)
    if (node.isNever) return this.#fault(report, place, 'Nothing is allowed here. Leave it out.')
    let holds = this.#assertionsHold(node, value, place, report)
    // What else is wrong with a value of another type says nothing more.
    if (node.isShallow || (!holds && (!report || !admitsType(node, value)))) return holds
    this.#effort.enter()
    if (node.hasCombinations) holds = this.#combinationsHold(node, value, place, report) && holds
    if (goesOn(holds, report)) holds = this.#insideFits(node, value, place, report) && holds
    this.#effort.leave()
    return holds
  }

  #insideFits(node: SchemaNode, value: unknown, place: Place, report: Report): boolean {
    if (isObject(value)) return this.#propertiesFit(node, value, place, report)
    if (!Array.isArray(value)) return true
    const isUnique = this.#isUnique(node, value, place, report)
    return goesOn(isUnique, report) && this.#itemsFit(node, value, place, report) && isUnique
  }

  #fault(report: Report, place: Place, message: string, code: InputFinding['code'] = 'invalid'): false {
    if (report && report.length < maxFindings) report.push({ path: pathOf(place), message, code })
    return false
  }

  #assertionsHold(node: SchemaNode, value: unknown, place: Place, report: Report): boolean {
    const isPartial = this.#leniency === 'partial' && place === this.#root && this.#conditions === 0
    const assertions = isPartial ? node.lenientAssertions : node.assertions
    if (jsonType(value) === null) return this.#fault(report, place, `Expected a JSON value, found ${typeof value}.`)
    if (!assertions) return true
    const errors = this.#judge(node, assertions, value)
    if (report && errors.length > 0) {
      for (const { message, missing } of faultsOf(assertions, value, errors)) {
        if (missing === undefined) this.#fault(report, place, message)
        else this.#fault(report, within(place, missing), message, place === this.#root ? 'missing' : 'invalid')
      }
    }
    return errors.length === 0
  }

  #judge(node: SchemaNode, assertions: Schema, value: unknown): OutputUnit[] {
    if (typeof value === 'string') this.#effort.spend(readingCost(assertions, value))
    if (typeof value === 'object' && value !== null) {
      if (isObject(value)) this.#keysOf(value)
      if (node.comparedContainers > 0) this.#effort.spend(node.comparedContainers * comparedSize(value))
    }
    if (typeof value === 'number') this.#effort.spend(divisionCost(value, assertions.multipleOf))
    return validate(value, assertions, '2020-12', noOtherSchemas, false, null, '', '').errors
  }

  /** Listing many keys takes long, and the validator does it each time; few are quickly listed. */
  #keysOf(value: object): readonly string[] {
    const keys = this.#keys.get(value) ?? Object.keys(value)
    this.#keys.set(value, keys)
    if (keys.length > fewKeys) this.#effort.spend(keys.length / 2)
    return keys
  }

  #isUnique(node: SchemaNode, value: unknown[], place: Place, report: Report): boolean {
    if (!node.hasUniqueItems) return true
    const duplicate = findDuplicate(value, this.#effort)
    return !duplicate || this.#fault(report, place, `Expected different items; those at ${duplicate.join(' and ')} are equal.`)
  }

  #combinationsHold(node: SchemaNode, value: unknown, place: Place, report: Report): boolean {
    const { reference, allOf, anyOf, oneOf, not, dependentSchemas } = node
    let holds = !reference || this.#fits(reference, value, place, report)
    if (goesOn(holds, report)) holds = every(report, allOf, (child) => this.#fits(child, value, place, report)) && holds
    if (anyOf && goesOn(holds, report)) holds = this.#fitsAny(anyOf, value, place, report) && holds
    if (oneOf && goesOn(holds, report)) holds = this.#fitsOne(oneOf, value, place, report) && holds
    if (not && goesOn(holds, report) && this.#isTrue(not, value, place)) {
      holds = this.#fault(report, place, 'Fits what the schema excludes with "not".')
    }
    if (node.if && goesOn(holds, report)) holds = this.#conditionHolds(node, value, place, report) && holds
    if (dependentSchemas && isObject(value) && goesOn(holds, report)) {
      this.#effort.spend(dependentSchemas.size / propertiesOfStep)
      const applying = presentIn(value, dependentSchemas)
      holds = every(report, applying, ([, schema]) => this.#fits(schema, value, place, report)) && holds
    }
    return holds
  }

  /** Whether a condition is true is asked exactly, whatever may be left out. */
  #isTrue(node: SchemaNode, value: unknown, place: Place): boolean {
    this.#conditions += 1
    const result = this.#fits(node, value, place, null)
    this.#conditions -= 1
    return result
  }

  #conditionHolds(node: SchemaNode, value: unknown, place: Place, report: Report): boolean {
    if (!node.if || !(node.then || node.else)) return true
    const branch = this.#isTrue(node.if, value, place) ? node.then : node.else
    return !branch || this.#fits(branch, value, place, report)
  }

  #fitsAny(choices: readonly SchemaNode[], value: unknown, place: Place, report: Report): boolean {
    if (choices.some((choice) => this.#fits(choice, value, place, null))) return true
    return this.#faultOfChoices(choices, value, place, report)
  }

  #fitsOne(choices: readonly SchemaNode[], value: unknown, place: Place, report: Report): boolean {
    const fitting = choices.filter((choice) => this.#fits(choice, value, place, null)).length
    if (fitting === 1) return true
    if (fitting === 0) return this.#faultOfChoices(choices, value, place, report)
    return this.#fault(report, place, `Fits ${fitting} alternatives of the schema ("oneOf"); it may fit only one of them.`)
  }

  /** Where one alternative is of the value's type, or is the one that its constants say it is, that one's faults are named. */
  #faultOfChoices(choices: readonly SchemaNode[], value: unknown, place: Place, report: Report): false {
    if (!report) return false
    const targets = choices.map(referredTo)
    const admitting = targets.filter((choice) => admitsType(choice, value))
    const marked = admitting.length > 1 ? admitting.filter((choice) => this.#isMarked(choice, value, place)) : admitting
    const before = report.length
    if (marked.length === 1 && marked[0]) this.#fits(marked[0], value, place, report)
    if (report.length > before) return false
    const types = new Set(targets.flatMap(({ assertions }) => typesOf(assertions ?? {})))
    const isOfOtherType = admitting.length === 0 && types.size > 0
    const message = isOfOtherType
      ? wrongType([...types], value)
      : `Fits none of the ${choices.length} alternatives of the schema.`
    return this.#fault(report, place, message)
  }

  /** Whether an object has the constants by which alternatives are told apart, as `role` is in `{ "role": { "const": "user" } }`. */
  #isMarked({ properties }: SchemaNode, value: unknown, place: Place): boolean {
    if (!isObject(value)) return false
    const marks = [...(properties ?? [])].filter(
      ([key, { assertions }]) => assertions?.const !== undefined && Object.hasOwn(value, key),
    )
    return marks.length > 0 && marks.every(([key, schema]) => this.#fits(schema, value[key], within(place, key), null))
  }

  #propertiesFit(node: SchemaNode, value: JsonObject, place: Place, report: Report): boolean {
    const { properties } = node
    this.#effort.spend((properties?.size ?? 0) / propertiesOfStep)
    const present = properties ? presentIn(value, properties) : []
    const doFit = every(report, present, ([key, schema]) => this.#fits(schema, value[key], within(place, key), report))
    return goesOn(doFit, report) && this.#othersFit(node, value, place, report) && doFit
  }

  #othersFit(node: SchemaNode, value: JsonObject, place: Place, report: Report): boolean {
    const { properties, additionalProperties, propertyNames } = node
    if (!additionalProperties && !propertyNames) return true
    return every(report, this.#keysOf(value), (key) => {
      this.#effort.spend(1)
      const isNamed = !propertyNames || this.#nameFits(propertyNames, key, place, report)
      if (!additionalProperties || properties?.has(key)) return isNamed
      const inner = within(place, key)
      if (!additionalProperties.isNever) return this.#fits(additionalProperties, value[key], inner, report) && isNamed
      if (!report) return false
      const known = [...(properties?.keys() ?? [])].slice(0, maxNamed)
      const rest = known.length > 0 ? ` There are ${listed(known)}.${suggestion(key, known)}` : ''
      return this.#fault(report, inner, `The schema has no such property.${rest}`)
    })
  }

  #nameFits(node: SchemaNode, key: string, place: Place, report: Report): boolean {
    if (this.#fits(node, key, within(place, key), null)) return true
    return this.#fault(report, within(place, key), `The name ${quoted(key)} is not one that the schema allows ("propertyNames").`)
  }

  #itemsFit(node: SchemaNode, value: unknown[], place: Place, report: Report): boolean {
    const { prefixItems, items, contains } = node
    const schemaOf = (index: number) => prefixItems[index] ?? items
    const checked = items ? value : value.slice(0, prefixItems.length)
    const doFit = every(report, checked, (item, index) => {
      const schema = schemaOf(index)
      return !schema || this.#fits(schema, item, within(place, index), report)
    })
    if (!contains || !goesOn(doFit, report)) return doFit
    return this.#containsEnough(contains, node, value, place, report) && doFit
  }

  #containsEnough(contains: SchemaNode, node: SchemaNode, items: unknown[], place: Place, report: Report): boolean {
    const { minContains, maxContains } = node
    const found = items.filter((item, index) => this.#fits(contains, item, within(place, index), null)).length
    if (found >= minContains && found <= maxContains) return true
    const bound = found < minContains ? `at least ${minContains}` : `at most ${maxContains}`
    return this.#fault(report, place, `Expected ${bound} items that fit "contains", found ${found}.`)
  }
}

const noOtherSchemas = {}
const fewKeys = 100
const propertiesOfStep = 16
const maxNamed = 100
/** Beyond this a value is not compared with the objects and lists of `enum`. */
const comparedLimits = { values: 10_000, characters: Number.POSITIVE_INFINITY, depth: 64 }

/** Only what counts characters or looks for a format reads a text to its end. */
function readingCost({ minLength, maxLength, format }: Schema, text: string): number {
  if (format !== undefined) return text.length / 64
  return minLength === undefined && maxLength === undefined ? 0 : text.length / 200
}

/** Numbers that are written with an exponent may be divided as integers of hundreds of digits. */
function divisionCost(value: number, divisor: number | undefined): number {
  if (divisor === undefined) return 0
  return [value, divisor].every((number) => number === 0 || (Math.abs(number) > 1e-6 && Math.abs(number) < 1e21)) ? 0 : 12
}

function comparedSize(value: unknown): number {
  const size = sizeWithin(value, comparedLimits)
  if (!size) throw new EffortExceeded('A value is too large to be compared with those of "enum" or "const".')
  return size.values / 8 + size.characters / 1024
}

/** Without a report the first fault ends the search; a full one ends it as well. */
function goesOn(holds: boolean, report: Report): boolean {
  return report ? report.length < maxFindings : holds
}

function every<Item>(report: Report, items: readonly Item[], holds: (item: Item, index: number) => boolean): boolean {
  let result = true
  for (const [index, item] of items.entries()) {
    if (!holds(item, index)) result = false
    if (!goesOn(result, report)) return result
  }
  return result
}

/** The schemas of the properties that an object has. */
function presentIn(value: JsonObject, schemas: ReadonlyMap<string, SchemaNode>): [key: string, schema: SchemaNode][] {
  return [...schemas].filter(([key]) => Object.hasOwn(value, key))
}

function referredTo(node: SchemaNode): SchemaNode {
  let target = node
  for (let hops = 0; target.reference && !target.assertions && hops < 5; hops += 1) target = target.reference
  return target
}
