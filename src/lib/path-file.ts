import { AppError, type Finding } from '../errors.js'
import { createFindings, type Findings, quoted } from './path-file/findings.js'
import { type Fields, type FileReader, fieldsOf, textsOf } from './path-file/reader.js'
import { type NamedRoute, readRoutes } from './path-file/routes.js'
import type { Route, Variable } from './path-file/routing.js'
import { readVariables } from './path-file/variables.js'
import { type MapNode, readYamlNodes, type YamlNode } from './path-file/yaml-nodes.js'

/** A PATH file that was checked, ready to route by. */
export type PathFile = {
  readonly version: 'v1' | 'v2'
  /** In the order in which they are tried. */
  readonly routes: readonly Route[]
  /** No other variable of a context makes a difference. */
  readonly variables: readonly Variable[]
  readonly warnings: readonly Finding[]
}

type Options = {
  /** The names of the project's sources, which `source` may be one of. Without them the names are not checked. */
  sources?: readonly string[]
}

const maxFileBytes = 100 * 1024
const versions = ['v1', 'v2'] as const
const fileFields = ['version', 'routes', 'fallback_chain', 'variables']

/**
 * Reads the file `PATH` of a source. Throws `path.invalid` with everything that is wrong with it, each with its line and
 * column, 50 at most. Pure.
 */
export function parsePathFile(text: string, { sources }: Options = {}): PathFile {
  const source = text.startsWith('\ufeff') ? text.slice(1) : text
  const findings = createFindings(source)
  const pathFile = readPathFile(source, findings, sources ?? null)
  if (pathFile && findings.errors.length === 0) return pathFile
  throw invalid('PATH', findings.errors.toSorted(byPlace))
}

/** Refuses a file `schema-version` that says another version than the PATH file beside it. */
export function checkSchemaVersion(text: string, { version }: PathFile): void {
  const said = text.replace(/^\ufeff/, '').trim()
  if (versionOf(said) === version) return
  const message = `It says ${quoted(said)}, but PATH is of version "${version}". Make the two agree, or remove this file.`
  throw invalid('schema-version', [{ path: 'schema-version', message, line: 1, column: 1 }])
}

function byPlace(one: Finding, other: Finding): number {
  return (one.line ?? 0) - (other.line ?? 0) || (one.column ?? 0) - (other.column ?? 0)
}

function invalid(file: string, errors: Finding[]): AppError {
  const [first] = errors
  const others = errors.length > 1 ? ` \`errors\` lists ${errors.length - 1} more.` : ''
  const detail = `The file ${file} is not valid at line ${first?.line}, column ${first?.column}: ${first?.message}${others}`
  return new AppError('path.invalid', detail, { errors })
}

function readPathFile(text: string, findings: Findings, sources: readonly string[] | null): PathFile | null {
  if (Buffer.byteLength(text) > maxFileBytes) {
    findings.error(0, '', `The file is over ${maxFileBytes / 1024} KB. Route by fewer patterns with more variables.`)
    return null
  }
  const root = readYamlNodes(text, findings)
  if (root === null) return null
  if (root.kind !== 'map') {
    findings.error(root.offset, '', 'The file is no mapping. Begin with "version: v1", and list "routes:".')
    return null
  }
  const version = readVersion(root, findings)
  const reader: FileReader = { findings, version: version ?? 'v2', sources, variables: new Map(), clocks: new Map() }
  const fields = fieldsOf(reader, root, '', { known: fileFields })
  const { standIns, declared } = readVariables(reader, fields('variables'))
  const routes = inOrder(reader, readRoutes(reader, fields('routes'), declared), fields)
  const variables = [...reader.variables.keys()].map((name) => ({ name, standIn: standIns.get(name) ?? null }))
  return version && { version, routes, variables, warnings: findings.warnings }
}

/** Null where it is missing or none that is known; the rest is then read as of the newest. */
function readVersion(root: MapNode, findings: Findings): (typeof versions)[number] | null {
  const node = root.entries.get('version')?.value
  const version = node?.kind === 'text' ? versionOf(node.text) : undefined
  if (version) return version
  const said = node?.kind === 'text' ? `${quoted(node.text)} is no version that is known.` : 'The file names no version.'
  findings.error(node?.offset ?? root.offset, 'version', `${said} Write "version: v1" or "version: v2".`)
  return null
}

function versionOf(text: string): (typeof versions)[number] | undefined {
  return versions.find((version) => text === version || text === version.slice(1))
}

/** The routes as the chain names them; without one as they are written. */
function inOrder(reader: FileReader, named: readonly NamedRoute[], fields: Fields): Route[] {
  const chain = fields('fallback_chain')
  if (chain === undefined) return named.flatMap(({ route }) => route ?? [])
  if (fields('routes')?.kind === 'list') {
    const message = 'A list of routes is tried in its order. Remove the chain, or write the routes as a map of names.'
    reader.findings.error(chain.offset, 'fallback_chain', message)
    return []
  }
  const routes = new Map(named.map(({ name, route }) => [name, route]))
  const chained = readChain(reader, chain, routes)
  for (const { name, offset, path } of named) {
    if (!chained.has(name)) reader.findings.warn(offset, path, 'The route is never tried: "fallback_chain" does not name it.')
  }
  return [...chained].flatMap((name) => routes.get(name) ?? [])
}

function readChain(reader: FileReader, chain: YamlNode, routes: ReadonlyMap<string, unknown>): Set<string> {
  const { findings } = reader
  const chained = new Set<string>()
  if (chain.kind !== 'list') {
    findings.error(chain.offset, 'fallback_chain', 'This is no list. List the names of the routes in the order to try them.')
    return chained
  }
  for (const { node, path } of textsOf(reader, chain, 'fallback_chain')) {
    const name = node.text
    if (!routes.has(name)) {
      findings.error(node.offset, path, `No route is named ${quoted(name)}.`, { name, known: routes.keys() })
    } else if (chained.has(name)) findings.error(node.offset, path, `${quoted(name)} is in the chain already. Remove it here.`)
    chained.add(name)
  }
  return chained
}
