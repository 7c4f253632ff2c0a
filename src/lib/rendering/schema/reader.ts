import { isObject, type JsonObject, jsonType, ownValue } from '../json-values.js'
import { assertionsOf, type Keywords } from './assertions.js'
import { keywords, type SchemaKeyword, schemaKeywords } from './keywords.js'
import { emptyNode, inPlace, type SchemaNode, summarize } from './nodes.js'
import { type Place, pathOf, within } from './places.js'

export type SchemaFinding = { path: string; message: string }

/** There may be any number of faults in a schema; the first ones will do. */
const maxFindings = 50

type Pending = { node: SchemaNode; raw: JsonObject; place: Place }
type PendingReference = { node: SchemaNode; reference: string; place: Place }

/**
 * Reads a JSON Schema of bounded size, and finds what in it is wrong or not supported. That is left out of what is returned,
 * so that it holds nothing against a value. Each schema is read once, however many name it, and own properties only.
 */
export class SchemaReader {
  readonly findings: SchemaFinding[] = []
  readonly #document: JsonObject
  readonly #place: Place
  readonly #nodes = new Map<JsonObject, SchemaNode>()
  readonly #anchors = new Map<string, JsonObject>()
  /** Outer schemas stand before inner ones, so that faults are found in that order. */
  readonly #pending: Pending[] = []
  #unread = 0
  readonly #references: PendingReference[] = []
  #unresolved = 0

  constructor(document: JsonObject, name: string) {
    this.#document = document
    this.#place = { parent: null, step: name }
  }

  read(): SchemaNode {
    const root = this.#nodeOf(this.#document, this.#place)
    // An anchor may come after what refers to it, and what is referred to may lie where no other keyword leads.
    while (this.#readPending() || this.#resolvePending());
    for (const { node, place } of this.#circles(root)) {
      node.reference = null
      this.#find(place, 'The reference leads in a circle that says nothing of a value. Refer to another schema.')
    }
    for (const node of [root, ...this.#nodes.values()]) summarize(node)
    return root
  }

  #readPending(): boolean {
    const isAny = this.#unread < this.#pending.length
    for (; this.#unread < this.#pending.length; this.#unread += 1) {
      const pending = this.#pending[this.#unread]
      if (pending) this.#fill(pending)
    }
    return isAny
  }

  #resolvePending(): boolean {
    const isAny = this.#unresolved < this.#references.length
    for (; this.#unresolved < this.#references.length; this.#unresolved += 1) {
      const pending = this.#references[this.#unresolved]
      if (pending) this.#resolve(pending)
    }
    return isAny
  }

  #find(place: Place, message: string): void {
    if (this.findings.length < maxFindings) this.findings.push({ path: pathOf(place), message })
  }

  /** The node of what should be a schema; one that lets everything through where it is none. */
  #nodeOf(raw: unknown, place: Place): SchemaNode {
    if (raw === true) return emptyNode()
    if (raw === false) return { ...emptyNode(), isNever: true }
    if (!isObject(raw)) {
      this.#find(place, `Expected a schema such as {"type": "string"}, found ${jsonType(raw)}.`)
      return emptyNode()
    }
    const known = this.#nodes.get(raw)
    if (known) return known
    const node = emptyNode()
    this.#nodes.set(raw, node)
    this.#pending.push({ node, raw, place })
    return node
  }

  #fill(pending: Pending): void {
    const { node, raw, place } = pending
    const accepted = this.#acceptedKeywords(raw, place)
    Object.assign(node, assertionsOf(accepted))
    if (accepted.has('default')) node.default = { value: accepted.get('default') }
    node.hasUniqueItems = accepted.get('uniqueItems') === true
    this.#name(pending, accepted)
    for (const keyword of schemaKeywords) this.#fillSchema(node, keyword, accepted, place)
    node.allOf = this.#list(accepted, 'allOf', place) ?? []
    node.anyOf = this.#list(accepted, 'anyOf', place)
    node.oneOf = this.#list(accepted, 'oneOf', place)
    node.properties = this.#map(accepted, 'properties', place)
    node.dependentSchemas = this.#dependentSchemas(accepted, place)
    this.#map(accepted, '$defs', place)
    this.#map(accepted, 'definitions', place)
    this.#fillItems(node, accepted, place)
    node.minContains = (accepted.get('minContains') as number | undefined) ?? 1
    node.maxContains = (accepted.get('maxContains') as number | undefined) ?? Number.POSITIVE_INFINITY
  }

  #acceptedKeywords(raw: JsonObject, place: Place): Keywords {
    const accepted = new Map<string, unknown>()
    for (const [keyword, value] of Object.entries(raw)) {
      if (value === undefined) continue
      const message = keywords.get(keyword)?.(value) ?? null
      if (message !== null) this.#find(within(place, keyword), message)
      else accepted.set(keyword, value)
    }
    for (const [keyword, limit] of exclusiveBounds) {
      if (accepted.get(keyword) !== true || accepted.has(limit)) continue
      this.#find(within(place, keyword), `There is no "${limit}" that it could exclude. Give the number itself.`)
    }
    return accepted
  }

  #name({ node, raw, place }: Pending, accepted: Keywords): void {
    const anchor = accepted.get('$anchor') as string | undefined
    if (anchor !== undefined) {
      if (this.#anchors.has(anchor)) this.#find(within(place, '$anchor'), `Another schema has the anchor "${anchor}" as well.`)
      this.#anchors.set(anchor, raw)
    }
    if (accepted.has('$id') && place.parent) {
      this.#find(
        within(place, '$id'),
        'Only the outermost schema may have "$id": it changes what "$ref" means within. Leave it out.',
      )
    }
    const reference = accepted.get('$ref') as string | undefined
    if (reference !== undefined) this.#references.push({ node, reference, place: within(place, '$ref') })
  }

  #fillSchema(node: SchemaNode, keyword: SchemaKeyword, accepted: Keywords, place: Place): void {
    if (accepted.has(keyword)) node[keyword] = this.#nodeOf(accepted.get(keyword), within(place, keyword))
  }

  #list(accepted: Keywords, keyword: string, place: Place): SchemaNode[] | null {
    const list = accepted.get(keyword)
    if (!Array.isArray(list)) return null
    return list.map((raw, index) => this.#nodeOf(raw, within(within(place, keyword), index)))
  }

  #map(accepted: Keywords, keyword: string, place: Place): Map<string, SchemaNode> | null {
    const map = accepted.get(keyword)
    if (!isObject(map)) return null
    return new Map(Object.entries(map).map(([key, raw]) => [key, this.#nodeOf(raw, within(within(place, keyword), key))]))
  }

  /** `dependencies` is what `dependentSchemas` and `dependentRequired` were before. */
  #dependentSchemas(accepted: Keywords, place: Place): Map<string, SchemaNode> | null {
    const schemas = this.#map(accepted, 'dependentSchemas', place) ?? new Map<string, SchemaNode>()
    const dependencies = accepted.get('dependencies')
    const outer = within(place, 'dependencies')
    for (const [key, raw] of isObject(dependencies) ? Object.entries(dependencies) : []) {
      if (Array.isArray(raw)) {
        const areNames = raw.every((name) => typeof name === 'string')
        if (!areNames) this.#find(within(outer, key), 'Expected a schema or a list of property names.')
        continue
      }
      const node = this.#nodeOf(raw, within(outer, key))
      const other = schemas.get(key)
      schemas.set(key, other ? bothOf(other, node) : node)
    }
    return schemas.size > 0 ? schemas : null
  }

  /** A list in `items` is what `prefixItems` was before, and `additionalItems` then what `items` is. */
  #fillItems(node: SchemaNode, accepted: Keywords, place: Place): void {
    const prefix = this.#list(accepted, 'prefixItems', place)
    const before = this.#list(accepted, 'items', place)
    node.prefixItems = prefix ?? before ?? []
    const rest = before ? 'additionalItems' : 'items'
    if (accepted.has(rest) && !(prefix && before)) node.items = this.#nodeOf(accepted.get(rest), within(place, rest))
    if (prefix && before)
      this.#find(within(place, 'items'), 'Beside "prefixItems", "items" is one schema, for all further items.')
  }

  #resolve({ node, reference, place }: PendingReference): void {
    const fragment = decoded(reference.slice(1))
    const target = fragment === null ? null : this.#targetOf(fragment)
    if (!target)
      this.#find(place, `There is no "${reference.slice(0, 100)}" in this schema. Write "#/$defs/name" for one in "$defs".`)
    else node.reference = this.#nodeOf(target.raw, target.place)
  }

  #targetOf(fragment: string): { raw: unknown; place: Place } | null {
    if (fragment !== '' && !fragment.startsWith('/')) {
      const raw = this.#anchors.get(fragment)
      return raw ? { raw, place: this.#place } : null
    }
    let target: { raw: unknown; place: Place } = { raw: this.#document, place: this.#place }
    for (const step of fragment.split('/').slice(1)) {
      const key = step.replaceAll('~1', '/').replaceAll('~0', '~')
      const raw = childOf(target.raw, key)
      if (raw === undefined) return null
      target = { raw, place: within(target.place, Array.isArray(target.raw) ? Number(key) : key) }
    }
    return target
  }

  /** The references that, with nothing but others for the same value between, lead back to where they are. */
  #circles(root: SchemaNode): PendingReference[] {
    if (this.#references.length === 0) return []
    const circling = nodesInCircles(new Set([root, ...this.#nodes.values()]))
    return this.#references.filter(({ node }) => node.reference && circling.has(node))
  }
}

const exclusiveBounds = [
  ['exclusiveMinimum', 'minimum'],
  ['exclusiveMaximum', 'maximum'],
] as const

function bothOf(first: SchemaNode, second: SchemaNode): SchemaNode {
  return { ...emptyNode(), allOf: [first, second], hasCombinations: true, isShallow: false }
}

function decoded(fragment: string): string | null {
  try {
    return decodeURIComponent(fragment)
  } catch {
    return null
  }
}

function childOf(parent: unknown, key: string): unknown {
  if (Array.isArray(parent)) return /^(0|[1-9]\d{0,8})$/.test(key) ? parent[Number(key)] : undefined
  return isObject(parent) ? ownValue(parent, key) : undefined
}

/**
 * Those of the nodes that a walk along `inPlace` comes back to. What no other node leads to is taken away until nothing
 * changes, and then what leads to no other: what is left lies on circles, or between two.
 */
function nodesInCircles(nodes: ReadonlySet<SchemaNode>): Set<SchemaNode> {
  const edges = new Map([...nodes].map((node) => [node, inPlace(node)]))
  const remaining = peeled(edges)
  const reversed = new Map<SchemaNode, SchemaNode[]>([...remaining].map((node) => [node, []]))
  for (const node of remaining) {
    for (const child of edges.get(node) ?? []) reversed.get(child)?.push(node)
  }
  return peeled(reversed)
}

function peeled(edges: ReadonlyMap<SchemaNode, SchemaNode[]>): Set<SchemaNode> {
  const incoming = new Map([...edges.keys()].map((node) => [node, 0]))
  for (const children of edges.values()) {
    for (const child of children) incoming.set(child, (incoming.get(child) ?? 0) + 1)
  }
  const free = [...edges.keys()].filter((node) => incoming.get(node) === 0)
  const remaining = new Set(edges.keys())
  for (let node = free.pop(); node; node = free.pop()) {
    remaining.delete(node)
    for (const child of edges.get(node) ?? []) {
      const left = (incoming.get(child) ?? 0) - 1
      incoming.set(child, left)
      if (left === 0) free.push(child)
    }
  }
  return remaining
}
