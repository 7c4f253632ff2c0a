import { joinPath, unstorableReason } from '../text.js'
import { type Findings, quoted } from './findings.js'
import { createLocalClock, isTimeZone, type LocalClock } from './local-time.js'
import { maxContextValueLength, toRoutingValue } from './values.js'
import type { MapNode, TextNode, YamlNode } from './yaml-nodes.js'

/** What reading one file goes along with. */
export type FileReader = {
  findings: Findings
  version: 'v1' | 'v2'
  /** The names that `source` may have, or null where they are not known. */
  sources: readonly string[] | null
  /** The number of a variable, a new one where it was not read before. */
  variables: Map<string, number>
  /** Null stands for one that does not exist. */
  clocks: Map<string, LocalClock | null>
}

/** The fields of a mapping. An empty one counts as not given. */
export type Fields = (name: string) => YamlNode | undefined

type FieldNames = { known: readonly string[]; sinceV2?: readonly string[] }

const maxVariables = 100
const maxTimeZones = 20
const maxTextLength = 1_000

/** Fields of another name are errors. */
export function fieldsOf(reader: FileReader, node: MapNode, path: string, { known, sinceV2 = [] }: FieldNames): Fields {
  const all = [...known, ...sinceV2]
  for (const [name, { keyOffset }] of node.entries) {
    if (!all.includes(name)) {
      reader.findings.error(keyOffset, joinPath(path, name), `${quoted(name)} is no field here.`, { name, known: all })
    } else if (reader.version === 'v1' && sinceV2.includes(name)) {
      reader.findings.error(keyOffset, joinPath(path, name), `"${name}" is of v2. Write "version: v2" to use it.`)
    }
  }
  return (name) => givenIn(node, name)
}

export function givenIn(node: MapNode, name: string): YamlNode | undefined {
  const value = node.entries.get(name)?.value
  return value?.kind === 'empty' ? undefined : value
}

/** A text, or one of a list of texts; anything else is an error. */
export function textsOf(reader: FileReader, node: YamlNode, path: string): { node: TextNode; path: string }[] {
  const items =
    node.kind === 'list' ? node.items.map((item, index) => ({ item, path: joinPath(path, index) })) : [{ item: node, path }]
  if (items.length === 0) reader.findings.error(node.offset, path, 'The list is empty. Give at least one value.')
  return items.flatMap(({ item, path }) => {
    if (item.kind === 'text') return [{ node: item, path }]
    reader.findings.error(item.offset, path, 'This is no text. Write one, in quotes if it has special characters.')
    return []
  })
}

/** Null where there is none, or where it is none and the error is told. */
export function textOf(reader: FileReader, node: YamlNode | undefined, path: string): string | null {
  if (node === undefined) return null
  if (node.kind === 'text' && node.text.length > maxTextLength) {
    reader.findings.error(node.offset, path, `The text is over ${maxTextLength} characters long. Shorten it.`)
  } else if (node.kind === 'text' && unstorableReason(node.text)) {
    reader.findings.error(node.offset, path, `The text ${unstorableReason(node.text)} Remove it.`)
  }
  if (node.kind === 'text') return node.text
  reader.findings.error(node.offset, path, 'This is no text. Write one, in quotes if it has special characters.')
  return null
}

/** A value as contexts have it, or null where it can be none and the error is told. */
export function routingValueOf(reader: FileReader, node: TextNode, path: string): string | null {
  const value = toRoutingValue(node.text)
  if (value !== null) return value
  const message = `${quoted(node.text)} is no value: it has no letter or digit, or is over ${maxContextValueLength} characters long.`
  reader.findings.error(node.offset, path, message)
  return null
}

export function numberOf(reader: FileReader, name: string, offset: number, path: string): number {
  const { variables, findings } = reader
  const number = variables.get(name) ?? variables.size
  if (number === maxVariables) findings.error(offset, path, `The file has over ${maxVariables} variables. Use fewer.`)
  if (number < maxVariables) variables.set(name, number)
  return number
}

/** One clock a zone, so that the time there is looked up once for all routes. Null where there is no such zone. */
export function clockOf(reader: FileReader, zone: string, offset: number, path: string): LocalClock | null {
  const { clocks, findings } = reader
  const known = clocks.get(zone)
  if (known) return known
  if (clocks.size === maxTimeZones && known === undefined) {
    findings.error(offset, path, `The file has over ${maxTimeZones} time zones. Use fewer.`)
    return null
  }
  const clock = known === undefined && isTimeZone(zone) ? createLocalClock(zone) : null
  clocks.set(zone, clock)
  if (clock === null) {
    findings.error(offset, path, `${quoted(zone)} is no time zone. Write one such as "Europe/Berlin".`, {
      name: zone,
      known: zonesLike(zone),
    })
  }
  return clock
}

/** Those whose continent and city begin as this one's do: there are too many to compare with all. */
function zonesLike(zone: string): string[] {
  const initials = (name: string) => `${name[0]}${name[name.lastIndexOf('/') + 1]}`
  return Intl.supportedValuesOf('timeZone').filter((candidate) => initials(candidate) === initials(zone))
}
