import { joinPath } from '../text.js'
import { quoted } from './findings.js'
import { variablePattern } from './patterns.js'
import { type FileReader, fieldsOf, routingValueOf, textOf } from './reader.js'
import type { YamlNode } from './yaml-nodes.js'

/** What `variables` says: the names, if it is there, and the slugs of the defaults by name. */
export type Declared = { declared: ReadonlySet<string> | null; standIns: ReadonlyMap<string, string> }

/** A map of name → description, or → `{ description, default }`. */
export function readVariables(reader: FileReader, node: YamlNode | undefined): Declared {
  const standIns = new Map<string, string>()
  if (node === undefined) return { declared: null, standIns }
  if (node.kind !== 'map') {
    reader.findings.error(node.offset, 'variables', 'This is no mapping. Write "name: description" for each variable.')
    return { declared: null, standIns }
  }
  for (const [name, { keyOffset, value }] of node.entries) {
    const path = joinPath('variables', name)
    if (!variablePattern.test(name)) {
      reader.findings.error(keyOffset, path, `${quoted(name)} is no name of a variable: letters, digits and "_".`)
    }
    const standIn = readStandIn(reader, value, path)
    if (standIn !== null) standIns.set(name, standIn)
  }
  return { declared: new Set(node.entries.keys()), standIns }
}

function readStandIn(reader: FileReader, node: YamlNode, path: string): string | null {
  if (node.kind === 'empty') return null
  if (node.kind !== 'map') {
    textOf(reader, node, path)
    return null
  }
  const fields = fieldsOf(reader, node, path, { known: ['description', 'default'] })
  textOf(reader, fields('description'), joinPath(path, 'description'))
  const given = fields('default')
  if (given?.kind === 'text') return routingValueOf(reader, given, joinPath(path, 'default'))
  textOf(reader, given, joinPath(path, 'default'))
  return null
}

/** Any variable of a context may be used, but where some are declared another one is likely a slip. */
export function warnOfUndeclared(
  reader: FileReader,
  { name, offset, path }: { name: string; offset: number; path: string },
  declared: ReadonlySet<string> | null,
): void {
  if (declared === null || declared.has(name)) return
  reader.findings.warn(offset, path, `"variables" does not declare ${quoted(name)}.`, { name, known: declared })
}
