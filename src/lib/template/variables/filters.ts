import type { NodeOf, TemplateNode } from '../syntax/nodes.js'
import {
  anyValueOf,
  chunksOf,
  collectionOf,
  groupsOf,
  indexed,
  itemOf,
  pairsOf,
  partOf,
  unknown,
  use,
  type Value,
} from './places.js'

/** What filters and methods make of a value, as far as places of it are still in the result. */

export type Given = { args: readonly TemplateNode[]; keywords: ReadonlyMap<string, TemplateNode> }

export function givenTo(nodes: readonly TemplateNode[]): Given {
  const args: TemplateNode[] = []
  const keywords = new Map<string, TemplateNode>()
  for (const node of nodes) {
    if (node.typename !== 'KeywordArgs') args.push(node)
    else for (const { key, value } of node.children) if (key.typename === 'Symbol') keywords.set(key.value, value)
  }
  return { args, keywords }
}

const kept = (value: Value) => value

/** Where the attribute stands among the positional arguments of filters that look at one of each item. */
const attributeAt: Record<string, number> = {
  sort: 2,
  unique: 1,
  min: 1,
  max: 1,
  sum: 0,
  groupby: 0,
  join: 1,
  selectattr: 0,
  rejectattr: 0,
}

const results: Record<string, (value: Value, attribute: Value, given: Given) => Value> = {
  sort: kept,
  unique: kept,
  reverse: kept,
  select: kept,
  reject: kept,
  selectattr: kept,
  rejectattr: kept,
  list: kept,
  first: itemOf,
  last: itemOf,
  random: itemOf,
  min: itemOf,
  max: itemOf,
  map: (_value, attribute, { keywords }) => (keywords.has('attribute') ? collectionOf(attribute.places, attribute) : unknown),
  groupby: groupsOf,
  items: pairsOf,
  dictsort: pairsOf,
  batch: chunksOf,
  slice: chunksOf,
  attr: (value, _attribute, { args }) => (isText(args[0]) ? partOf(value, args[0].value) : unknown),
}

/** What the filter gives. What it only looks at is counted as used. */
export function filtered(name: string, value: Value, given: Given, order: number): Value {
  const attribute = attributeOf(name, value, given)
  use(attribute, order)
  const result = Object.hasOwn(results, name) ? results[name]?.(value, attribute, given) : undefined
  if (result) {
    // What `attr` and the like are applied to is used by them even where they lead to no place.
    if (result.places.length === 0) use(value, order)
    return result
  }
  use(value, order)
  return unknown
}

function attributeOf(name: string, value: Value, { args, keywords }: Given): Value {
  const index = Object.hasOwn(attributeAt, name) ? attributeAt[name] : undefined
  const node = keywords.get('attribute') ?? (index === undefined ? undefined : args[index])
  if (index === undefined && name !== 'map') return unknown
  if (node?.typename !== 'Literal') return name === 'map' ? itemOf(value) : unknown
  const paths = typeof node.value === 'string' ? node.value.split(',') : [String(node.value)]
  const places = paths.slice(0, 10).flatMap((path) => attributePath(itemOf(value), path).places)
  return { places }
}

/** The path of an attribute as filters take it: `address.0.city`. */
function attributePath(value: Value, path: string): Value {
  let at = value
  for (const part of path.split('.').slice(0, 100)) at = /^\d+$/.test(part) ? indexed(at, Number(part)) : partOf(at, part)
  return at
}

/** What a method of a mapping gives, or null if the name is that of no such method. */
export function methodResult(name: string, value: Value, given: Given): Value | null {
  if (name === 'items') return pairsOf(value)
  if (name === 'values') return collectionOf(value.places, anyValueOf(value))
  if (name === 'keys') return collectionOf(value.places, unknown)
  if (name === 'copy') return value
  if (name !== 'get') return null
  const [key] = given.args
  return isText(key) ? partOf(value, key.value) : itemOf(value)
}

export function isText(node: TemplateNode | undefined): node is NodeOf<'Literal'> & { value: string } {
  return node?.typename === 'Literal' && typeof node.value === 'string'
}
