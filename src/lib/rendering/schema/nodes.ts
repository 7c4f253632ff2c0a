import type { Schema } from '@cfworker/json-schema'

/**
 * A schema that has been read: what can be said of a value by itself is in `assertions`, as the validator takes it, and
 * where to go from there is in the rest. A schema may lead back to itself through `reference`.
 */
export type SchemaNode = {
  /** Nothing fits the schema `false`. */
  isNever: boolean
  assertions: Schema | null
  /** The assertions for who leaves properties out: all but `required`. */
  lenientAssertions: Schema | null
  /** What comparing a value with the assertions costs, in steps, its own size aside. */
  weight: number
  /** How many objects and lists `const` and `enum` have among their values. */
  comparedContainers: number
  hasUniqueItems: boolean
  /** Whether there is nothing but assertions. */
  isShallow: boolean
  /** Whether other schemas say something of the same value. */
  hasCombinations: boolean
  default: { value: unknown } | null
  reference: SchemaNode | null
  allOf: SchemaNode[]
  anyOf: SchemaNode[] | null
  oneOf: SchemaNode[] | null
  not: SchemaNode | null
  if: SchemaNode | null
  then: SchemaNode | null
  else: SchemaNode | null
  dependentSchemas: ReadonlyMap<string, SchemaNode> | null
  properties: ReadonlyMap<string, SchemaNode> | null
  additionalProperties: SchemaNode | null
  propertyNames: SchemaNode | null
  prefixItems: SchemaNode[]
  items: SchemaNode | null
  contains: SchemaNode | null
  minContains: number
  maxContains: number
}

export function emptyNode(): SchemaNode {
  return {
    isNever: false,
    assertions: null,
    lenientAssertions: null,
    weight: 0,
    comparedContainers: 0,
    hasUniqueItems: false,
    isShallow: true,
    hasCombinations: false,
    default: null,
    reference: null,
    allOf: [],
    anyOf: null,
    oneOf: null,
    not: null,
    if: null,
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema, and nothing awaits a node.
    then: null,
    else: null,
    dependentSchemas: null,
    properties: null,
    additionalProperties: null,
    propertyNames: null,
    prefixItems: [],
    items: null,
    contains: null,
    minContains: 1,
    maxContains: Number.POSITIVE_INFINITY,
  }
}

/** The schemas that are asked about the same value as `node` is. */
export function inPlace(node: SchemaNode): SchemaNode[] {
  const single = [node.reference, node.not, node.if, node.then, node.else].filter((child) => child !== null)
  return [...single, ...node.allOf, ...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.dependentSchemas?.values() ?? [])]
}

/** To be called once all else of the node is known. */
export function summarize(node: SchemaNode): void {
  const { reference, allOf, anyOf, oneOf, not, dependentSchemas, hasUniqueItems } = node
  node.hasCombinations = Boolean(reference || allOf.length > 0 || anyOf || oneOf || not || node.if || dependentSchemas)
  const { properties, additionalProperties, propertyNames, prefixItems, items, contains } = node
  const looksInside = Boolean(properties || additionalProperties || propertyNames || prefixItems.length > 0 || items || contains)
  node.isShallow = !(node.hasCombinations || looksInside || hasUniqueItems)
}
