import { joinPath } from '../text.js'
import { type Condition, parseDays, parseHours, wholeDay } from './conditions.js'
import { quoted } from './findings.js'
import { variablePattern } from './patterns.js'
import { clockOf, type FileReader, fieldsOf, givenIn, numberOf, routingValueOf, textOf, textsOf } from './reader.js'
import type { MapNode, YamlNode } from './yaml-nodes.js'

const timeFields = ['hours', 'days', 'timezone']
const maxShownValues = 5

/** The conditions of a route, all of which must hold. */
export function readConditions(reader: FileReader, node: YamlNode, path: string): Condition[] {
  if (node.kind !== 'map') {
    reader.findings.error(node.offset, path, 'This is no mapping. Write "name: value" for each condition.')
    return []
  }
  const conditions: Condition[] = []
  for (const [name, { keyOffset, value }] of node.entries) {
    if (timeFields.includes(name)) continue
    const at = joinPath(path, name)
    if (!variablePattern.test(name)) {
      reader.findings.error(keyOffset, at, `${quoted(name)} is no name of a variable: letters, digits and "_".`)
      continue
    }
    const condition = readValueCondition(reader, value, { name, keyOffset, path: at })
    if (condition) conditions.push(condition)
  }
  const time = readTimeCondition(reader, node, path)
  return time ? [...conditions, time] : conditions
}

type Named = { name: string; keyOffset: number; path: string }

/** A value, a list of values, or `not:` with one of the two. */
function readValueCondition(reader: FileReader, node: YamlNode, { name, keyOffset, path }: Named): Condition | null {
  const isNot = node.kind === 'map'
  const wanted = isNot ? fieldsOf(reader, node, path, { known: ['not'] })('not') : node
  if (wanted === undefined || wanted.kind === 'empty' || wanted.kind === 'map') {
    reader.findings.error(
      node.offset,
      path,
      'The condition has no value. Give one, a list of them, or "not:" with one of the two.',
    )
    return null
  }
  const values = new Set<string>()
  for (const text of textsOf(reader, wanted, isNot ? joinPath(path, 'not') : path)) {
    const value = routingValueOf(reader, text.node, text.path)
    if (value !== null) values.add(value)
  }
  const unmet = `The condition on "${name}" does not hold: it asks for ${isNot ? 'none of ' : ''}${shown(values)}.`
  return { kind: 'value', variable: numberOf(reader, name, keyOffset, path), values, isNot, unmet }
}

function shown(values: ReadonlySet<string>): string {
  const some = [...values].slice(0, maxShownValues).map((value) => `"${value}"`)
  return values.size > maxShownValues ? `${some.join(', ')} and ${values.size - maxShownValues} more` : some.join(' or ')
}

function readTimeCondition(reader: FileReader, node: MapNode, path: string): Condition | null {
  const hours = readEach(reader, givenIn(node, 'hours'), joinPath(path, 'hours'), { parse: parseHours, remedy: hoursRemedy })
  const days = readEach(reader, givenIn(node, 'days'), joinPath(path, 'days'), { parse: parseDays, remedy: daysRemedy })
  const zoneNode = givenIn(node, 'timezone')
  if (!hours && !days && !zoneNode) return null
  const zonePath = joinPath(path, 'timezone')
  const zone = textOf(reader, zoneNode, zonePath) ?? 'UTC'
  const clock = clockOf(reader, zone, zoneNode?.offset ?? node.offset, zonePath)
  if (!hours && !days) reader.findings.warn(node.offset, zonePath, 'A time zone says nothing without "hours" or "days".')
  if (!clock || (!hours && !days)) return null
  const asked = [...(hours?.texts ?? []), ...(days?.texts ?? [])].slice(0, maxShownValues).join(', ')
  return {
    kind: 'time',
    clock,
    weekdays: days && new Set(days.values.flat()),
    spans: hours?.values ?? [wholeDay],
    unmet: `The time is another one: the route is for ${asked} (${zone}).`,
  }
}

const hoursRemedy = 'Write hours as "09:00-17:00"; leave them out for the whole day.'
const daysRemedy = 'Write days as "mon-fri", "sat" or a list of such.'

/** Null where nothing is asked for. */
function readEach<T>(
  reader: FileReader,
  node: YamlNode | undefined,
  path: string,
  { parse, remedy }: { parse: (text: string) => T | null; remedy: string },
): { values: T[]; texts: string[] } | null {
  if (node === undefined) return null
  const values: T[] = []
  const texts: string[] = []
  for (const { node: item, path: at } of textsOf(reader, node, path)) {
    const value = parse(item.text)
    if (value !== null) {
      values.push(value)
      texts.push(item.text.trim())
    } else reader.findings.error(item.offset, at, `${quoted(item.text)} cannot be read. ${remedy}`)
  }
  return { values, texts }
}
