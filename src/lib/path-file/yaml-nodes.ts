import { EVENT_ID, type Event, getScalarValue, parseEvents, SCALAR_STYLE, type ScalarEvent, YAMLException } from 'js-yaml'
import { type Findings, quoted } from './findings.js'

/**
 * YAML with the place of everything. A scalar is its text as it is written: `007` and an id of 18 digits are no numbers. What
 * an alias stands for is the node of its anchor.
 */
export type YamlNode = TextNode | EmptyNode | ListNode | MapNode
export type TextNode = {
  kind: 'text'
  text: string
  offset: number
  /** Whether the text stands in the file as it is, so that what is in it has a place as well. */
  isVerbatim: boolean
}
export type ListNode = { kind: 'list'; items: YamlNode[]; offset: number }
export type MapNode = { kind: 'map'; entries: Map<string, MapEntry>; offset: number }
type MapEntry = { keyOffset: number; value: YamlNode }
type EmptyNode = { kind: 'empty'; offset: number }

type Anchor = { node: YamlNode | null; size: number }

/** `size` is how many nodes were read, those that aliases stand for included; `end` is where the last of them ended. */
type Reader = {
  source: string
  events: Event[]
  index: number
  anchors: Map<string, Anchor>
  size: number
  end: number
  findings: Findings
}

/** Anchors let a small file stand for a huge one, so what they expand to is counted. */
const maxNodes = 50_000
/** Lines cost more than bytes. */
const maxLines = 20_000
const maxDepth = 16
const nowhere = -1

/** Reads one document. What it cannot read is a finding, and the answer null. */
export function readYamlNodes(source: string, findings: Findings): YamlNode | null {
  try {
    if (source.split(/\r\n?|\n/, maxLines + 1).length > maxLines) refuse(source, 0, `it has over ${maxLines} lines`)
    const events = parseEvents(source, { maxDepth })
    const reader: Reader = { source, events, index: 1, anchors: new Map(), size: 0, end: 0, findings }
    if (events.length === 0) return { kind: 'empty', offset: 0 }
    const root = readNode(reader, 0)
    if (reader.index + 1 < events.length) {
      refuse(source, nextAt(source, /^(?:---|\.\.\.)/gm, reader.end), 'it holds a second document. Keep one')
    }
    return root
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error
    findings.error(error.mark?.position ?? 0, '', `The YAML cannot be read: ${error.reason.slice(0, 200)}.`)
    return null
  }
}

/** `offset` is the place of a node that has none of its own, because it is empty. */
function readNode(reader: Reader, offset: number): YamlNode {
  const { source, events } = reader
  const event = events[reader.index]
  reader.index += 1
  reader.size += 1
  if (reader.size > maxNodes) refuse(source, reader.end, `it expands to over ${maxNodes} values`)
  if (event?.type === EVENT_ID.ALIAS) return readAlias(reader, event.anchorStart, event.anchorEnd)
  if (event?.type !== EVENT_ID.SCALAR && event?.type !== EVENT_ID.SEQUENCE && event?.type !== EVENT_ID.MAPPING) {
    return { kind: 'empty', offset }
  }
  if (event.tagStart !== -1) refuse(source, event.tagStart, 'it holds a tag, and tags are not read here. Remove it')
  const anchor: Anchor = { node: null, size: reader.size }
  if (event.anchorStart !== -1) reader.anchors.set(source.slice(event.anchorStart, event.anchorEnd), anchor)
  if (event.type === EVENT_ID.SCALAR) anchor.node = readScalar(reader, event, offset)
  else if (event.type === EVENT_ID.SEQUENCE) anchor.node = readList(reader, event.start)
  else anchor.node = readMap(reader, event.start)
  anchor.size = reader.size - anchor.size
  return anchor.node
}

function readAlias(reader: Reader, start: number, end: number): YamlNode {
  const name = reader.source.slice(start, end)
  const anchor = reader.anchors.get(name)
  reader.end = end
  if (!anchor) return refuse(reader.source, start, `the alias ${quoted(name)} has no anchor before it`)
  if (!anchor.node) return refuse(reader.source, start, `the alias ${quoted(name)} stands inside of its own anchor`)
  reader.size += anchor.size
  return anchor.node
}

function readScalar(reader: Reader, event: ScalarEvent, offset: number): YamlNode {
  const { source } = reader
  if (event.valueStart === -1) return { kind: 'empty', offset }
  reader.end = event.valueEnd
  const text = getScalarValue(source, event)
  if (event.style === SCALAR_STYLE.PLAIN && /^(?:~|null|Null|NULL)?$/.test(text)) {
    return { kind: 'empty', offset: event.valueStart }
  }
  const isVerbatim = source.startsWith(text, event.valueStart) && event.valueEnd - event.valueStart === text.length
  return { kind: 'text', text, offset: event.valueStart, isVerbatim }
}

function readList(reader: Reader, offset: number): ListNode {
  const items: YamlNode[] = []
  reader.end = offset
  while (reader.events[reader.index]?.type !== EVENT_ID.POP) {
    const before = reader.end
    const item = readNode(reader, nowhere)
    items.push(item.offset === nowhere ? placeEmpty(reader, before) : item)
  }
  reader.index += 1
  return { kind: 'list', items, offset }
}

/** Of a key that is given twice the first counts, so that the rest of the file is looked at, too. */
function readMap(reader: Reader, offset: number): MapNode {
  const entries = new Map<string, MapEntry>()
  while (reader.events[reader.index]?.type !== EVENT_ID.POP) {
    const key = readNode(reader, offset)
    if (key.kind !== 'text') return refuse(reader.source, key.offset, 'a key is no text')
    const value = readNode(reader, key.offset)
    const first = entries.get(key.text)
    if (first) reader.findings.error(key.offset, key.text, `The key ${quoted(key.text)} is given twice. Remove one of the two.`)
    else entries.set(key.text, { keyOffset: key.offset, value })
  }
  reader.index += 1
  return { kind: 'map', entries, offset }
}

/** Nothing tells where an empty item stands, but it has a dash of its own. */
function placeEmpty(reader: Reader, before: number): EmptyNode {
  const offset = reader.source[before] === '-' ? before : nextAt(reader.source, /(?<=^[ \t]*)-(?=\s|$)/gm, before)
  reader.end = offset + 1
  return { kind: 'empty', offset }
}

function nextAt(source: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(source)?.index ?? from
}

function refuse(source: string, offset: number, reason: string): never {
  return YAMLException.throwAt(source, offset, reason)
}
