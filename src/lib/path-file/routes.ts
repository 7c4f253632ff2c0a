import { slugPattern } from '../names.js'
import { joinPath } from '../text.js'
import { quoted } from './findings.js'
import { compilePattern, type Pattern } from './patterns.js'
import { type Fields, type FileReader, fieldsOf, numberOf, textOf, textsOf } from './reader.js'
import type { Route } from './routing.js'
import { warnOfUndeclared } from './variables.js'
import { readConditions } from './when.js'
import type { ListNode, MapNode, TextNode, YamlNode } from './yaml-nodes.js'

/** A route by the name that a chain may call it by, and its place; null in place of one that cannot be read. */
export type NamedRoute = { name: string; offset: number; path: string; route: Route | null }

/** The names of the variables that the file declares, or null where it declares none. */
type DeclaredNames = ReadonlySet<string> | null
type Entry = { key: string | null; offset: number; path: string; value: YamlNode }

const maxRoutes = 1_000
const maxComposed = 20
const maxNameLength = 100

/** A list of routes, or a map of name → route. */
export function readRoutes(reader: FileReader, node: YamlNode | undefined, declared: DeclaredNames): NamedRoute[] {
  if (node?.kind !== 'list' && node?.kind !== 'map') {
    const message = 'The file has no routes. List them, each as "- pattern: prompts/{category}.md".'
    reader.findings.error(node?.offset ?? 0, 'routes', message)
    return []
  }
  const entries = entriesOf(node)
  const excess = entries[maxRoutes]
  if (excess) reader.findings.error(excess.offset, 'routes', `The file has over ${maxRoutes} routes. Use more variables.`)
  if (entries.length === 0) reader.findings.error(node.offset, 'routes', 'The file has no routes. Give at least one.')
  return entries.slice(0, maxRoutes).map((entry) => {
    const { key, offset, path } = entry
    if (key !== null && (key.length > maxNameLength || !/^[^\p{Cc}\p{Cs}]+$/u.test(key))) {
      const message = `A route's name has 1 to ${maxNameLength} characters, and no control characters.`
      reader.findings.error(offset, path, message)
    }
    const route = readRoute(reader, entry, declared)
    return { name: key ?? '', offset, path, route }
  })
}

function entriesOf(node: ListNode | MapNode): Entry[] {
  if (node.kind === 'list') {
    return node.items.map((value, index) => ({ key: null, offset: value.offset, path: joinPath('routes', index), value }))
  }
  return Array.from(node.entries, ([key, { keyOffset, value }]) => ({
    key,
    offset: keyOffset,
    path: joinPath('routes', key),
    value,
  }))
}

/** A route is its pattern, or a mapping. */
function readRoute(reader: FileReader, { key, path, value }: Entry, declared: DeclaredNames): Route | null {
  if (value.kind === 'text') {
    const pattern = readPattern(reader, { node: value, path }, declared)
    return pattern && { name: key ?? pattern.text, description: null, source: null, patterns: [pattern], conditions: [] }
  }
  if (value.kind !== 'map') {
    reader.findings.error(value.offset, path, 'The route has no pattern. Write "pattern: prompts/{category}.md".')
    return null
  }
  const fields = fieldsOf(reader, value, path, {
    known: ['pattern', 'description'],
    sinceV2: ['when', 'source', 'compose'],
  })
  const patterns = readPatterns(reader, { node: value, path, fields }, declared)
  const when = fields('when')
  return {
    name: key ?? patterns.map(({ text }) => text).join(' + '),
    description: textOf(reader, fields('description'), joinPath(path, 'description')),
    source: readSource(reader, fields('source'), joinPath(path, 'source')),
    patterns,
    conditions: when ? readConditions(reader, when, joinPath(path, 'when')) : [],
  }
}

type RouteFields = { node: MapNode; path: string; fields: Fields }

/** One pattern, or in v2 those whose files are joined. */
function readPatterns(reader: FileReader, { node, path, fields }: RouteFields, declared: DeclaredNames): Pattern[] {
  const [pattern, compose] = [fields('pattern'), fields('compose')]
  if ((pattern === undefined) === (compose === undefined)) {
    const either = reader.version === 'v1' ? '"pattern"' : '"pattern" or "compose"'
    const message = pattern ? 'The route has both "pattern" and "compose". Keep one.' : `The route has no ${either}. Give one.`
    reader.findings.error((compose ?? node).offset, path, message)
  }
  if (pattern?.kind === 'list') {
    const remedy = reader.version === 'v1' ? 'Write one route each.' : 'Write one route each, or "compose" to join their files.'
    reader.findings.error(pattern.offset, joinPath(path, 'pattern'), `A route has one pattern. ${remedy}`)
    return []
  }
  const asked = compose ?? pattern
  if (asked === undefined) return []
  const texts = textsOf(reader, asked, joinPath(path, compose ? 'compose' : 'pattern'))
  if (texts.length > maxComposed) {
    reader.findings.error(
      asked.offset,
      joinPath(path, 'compose'),
      `A route joins at most ${maxComposed} files. Put some into one.`,
    )
  }
  return texts.slice(0, maxComposed).flatMap((text) => readPattern(reader, text, declared) ?? [])
}

type Placed = { node: TextNode; path: string }

function readPattern(reader: FileReader, { node, path }: Placed, declared: DeclaredNames): Pattern | null {
  const offsetOf = (index: number) => (node.isVerbatim ? node.offset + index : node.offset)
  const pattern = compilePattern(node.text, (name, index) => {
    warnOfUndeclared(reader, { name, offset: offsetOf(index), path }, declared)
    return numberOf(reader, name, offsetOf(index), path)
  })
  if (!Array.isArray(pattern)) return pattern
  for (const { index, message } of pattern) reader.findings.error(offsetOf(index), path, message)
  return null
}

function readSource(reader: FileReader, node: YamlNode | undefined, path: string): string | null {
  const name = textOf(reader, node, path)
  if (node === undefined || name === null) return null
  if (!slugPattern.test(name)) {
    reader.findings.error(node.offset, path, `${quoted(name)} is no name of a source: lower-case letters, digits and "-".`)
  } else if (reader.sources && !reader.sources.includes(name)) {
    const message = `The project has no source ${quoted(name)}.`
    reader.findings.error(node.offset, path, message, { name, known: reader.sources })
  }
  return name
}
