import { typeError, undefinedError, valueError } from './arguments.js'
import { formatValue } from './format-specification.js'
import { chargeTo, reprFor, scan, textFor } from './iteration.js'
import { escapeText, like } from './markup.js'
import type { Arguments, Context } from './operations.js'
import { asciiOf } from './python-literals.js'
import { sliceText } from './python-text.js'
import {
  Attributes,
  Dict,
  isList,
  Macro,
  Markup,
  NamedTuple,
  OperationError,
  Range,
  repr,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** Python's `text.format(…)`. */
export function formatFields(context: Context, format: string | Markup, given: Arguments): string | Markup {
  const source = format instanceof Markup ? format.text : format
  const formatter = new FieldFormatter(context, given, format instanceof Markup)
  return like(format, formatter.run(source, 2))
}

class FieldFormatter {
  readonly #context: Context
  readonly #given: Arguments
  readonly #escapes: boolean
  #automatic = 0
  #numbering: 'automatic' | 'manual' | undefined

  constructor(context: Context, given: Arguments, escapes: boolean) {
    this.#context = context
    this.#given = given
    this.#escapes = escapes
  }

  run(source: string, depth: number): string {
    if (depth === 0) throw valueError('Max string recursion exceeded')
    let result = ''
    for (let at = 0; at < source.length; ) {
      const brace = nextBrace(source, at)
      this.#context.budget.characters(brace - at + costOfPart)
      result += source.slice(at, brace)
      if (brace === source.length) break
      const character = source[brace] ?? ''
      if (source[brace + 1] === character) {
        result += character
        at = brace + 2
        continue
      }
      if (character === '}') throw valueError("Single '}' encountered in format string")
      const end = fieldEnd(source, brace + 1)
      this.#context.budget.characters(costOfPart * (end - brace))
      const text = this.#field(source.slice(brace + 1, end), depth)
      this.#context.budget.characters(text.length)
      result += text
      at = end + 1
    }
    return result
  }

  #field(field: string, depth: number): string {
    this.#context.budget.step()
    const { name, conversion, specification } = partsOf(field)
    const value = this.#lookUp(name)
    const text = converted(this.#context, value, conversion)
    const nested = specification.includes('{') || specification.includes('}') ? this.run(specification, depth - 1) : specification
    if (!this.#escapes || depth < 2) return formatValue(this.#context, text, nested)
    if (!(text instanceof Markup)) return escapeText(this.#context, formatValue(this.#context, text, nested))
    if (nested) throw valueError('Unsupported format specification for Markup.')
    return text.text
  }

  #lookUp(name: string): Value {
    const { first, steps } = pathOf(name)
    let value = this.#argument(first)
    for (const { key, isItem } of steps) value = isItem ? itemOf(this.#context, value, key) : attributeOf(value, key)
    return value
  }

  #argument(name: string): Value {
    if (name !== '' && !/^\d+$/.test(name)) {
      const value = this.#given.kwargs.get(name)
      if (value === undefined) throw new OperationError('KeyError', repr(name))
      return value
    }
    const numbering = name === '' ? 'automatic' : 'manual'
    this.#numbering ??= numbering
    if (this.#numbering !== numbering) {
      const [from, to] =
        numbering === 'manual'
          ? ['automatic field numbering', 'manual field specification']
          : ['manual field specification', 'automatic field numbering']
      throw valueError(`cannot switch from ${from} to ${to}`)
    }
    const index = name === '' ? this.#automatic : Number(name)
    if (name === '') this.#automatic += 1
    const value = this.#given.args[index]
    if (value === undefined) {
      throw new OperationError('IndexError', `Replacement index ${index} out of range for positional args tuple`)
    }
    return value
  }
}

/** What going to the next field takes, or to the next character of a field, in characters that are copied. */
const costOfPart = 8

function nextBrace(source: string, from: number): number {
  let at = from
  for (; at < source.length; at += 1) {
    const unit = source.charCodeAt(at)
    if (unit === openBrace || unit === closeBrace) break
  }
  return at
}

const openBrace = 0x7b
const closeBrace = 0x7d

/** The brace that closes a field; within an index in brackets there is none. */
function fieldEnd(source: string, from: number): number {
  let depth = 1
  let isInIndex = false
  for (let at = from; at < source.length; at += 1) {
    const character = source[at]
    if (character === '[') isInIndex = true
    else if (character === ']') isInIndex = false
    else if (isInIndex) continue
    else if (character === '{') depth += 1
    else if (character === '}') {
      depth -= 1
      if (depth === 0) return at
    }
  }
  throw valueError(from === source.length ? "Single '{' encountered in format string" : "expected '}' before end of string")
}

function partsOf(field: string): { name: string; conversion: string; specification: string } {
  let at = 0
  for (let isInIndex = false; at < field.length; at += 1) {
    const character = field[at] ?? ''
    if (character === '[') isInIndex = true
    else if (character === ']') isInIndex = false
    else if (character === '{' && !isInIndex) throw valueError("unexpected '{' in field name")
    else if ((character === '!' || character === ':') && !isInIndex) break
  }
  const name = field.slice(0, at)
  if (field[at] !== '!') return { name, conversion: '', specification: field.slice(at + 1) }
  const conversion = field[at + 1] ?? ''
  if (conversion === '') throw valueError('end of string while looking for conversion specifier')
  if (at + 2 < field.length && field[at + 2] !== ':') throw valueError("expected ':' after conversion specifier")
  return { name, conversion, specification: field.slice(at + 3) }
}

type PathStep = { key: string; isItem: boolean }

function pathOf(name: string): { first: string; steps: PathStep[] } {
  const start = name.search(/[.[]/)
  const first = start === -1 ? name : name.slice(0, start)
  const steps: PathStep[] = []
  for (let at = first.length; at < name.length; ) {
    const isItem = name[at] === '['
    if (!isItem && name[at] !== '.') throw valueError("Only '.' or '[' may follow ']' in format field specifier")
    let end = at + 1
    while (end < name.length && (isItem ? name[end] !== ']' : name[end] !== '.' && name[end] !== '[')) end += 1
    if (isItem && end === name.length) throw valueError("Missing ']' in format string")
    if (end === at + 1) throw valueError('Empty attribute in format string')
    steps.push({ key: name.slice(at + 1, end), isItem })
    at = isItem ? end + 1 : end
  }
  return { first, steps }
}

/** Only the names that our own values have: nothing of Python's or JavaScript's objects is within reach. */
function attributeOf(value: Value, name: string): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  const found =
    value instanceof Attributes || value instanceof Macro
      ? value.get(name)
      : value instanceof NamedTuple
        ? value.named(name)
        : undefined
  if (found === undefined) throw new OperationError('AttributeError', `'${typeName(value)}' object has no attribute '${name}'`)
  return found
}

function itemOf(context: Context, value: Value, text: string): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  const key = /^\d+$/.test(text) ? Number(text) : text
  if (value instanceof Dict) {
    const found = value.get(key)
    if (found === undefined) throw new OperationError('KeyError', repr(key))
    return found
  }
  const characters = textOf(value)
  const items = value instanceof Tuple || value instanceof Range ? value.items : isList(value) ? value : null
  if (!items && characters === null) throw typeError(`'${typeName(value)}' object is not subscriptable`)
  if (typeof key === 'string') throw typeError(`${typeName(value)} indices must be integers, not 'str'`)
  if (characters !== null) scan(context, characters)
  const found = items ? items[key] : sliceText(characters ?? '', key, key + 1)
  if (found === undefined || (items === null && found === ''))
    throw new OperationError('IndexError', `${typeName(value)} index out of range`)
  return found
}

function converted(context: Context, value: Value, conversion: string): Value {
  if (conversion === '') return value
  if (conversion === 's') return textFor(context, value)
  if (conversion === 'r') return reprFor(context, value)
  if (conversion === 'a') return asciiOf(reprFor(context, value), chargeTo(context))
  throw valueError(`Unknown conversion specifier '${conversion}'`)
}
