import { typeError, valueError } from '../values/arguments.js'
import { checkDepth, order } from '../values/iteration.js'
import type { Context } from '../values/operations.js'
import { reprFloat } from '../values/python-literals.js'
import { substituted } from '../values/python-text.js'
import { Dict, isFloat, isList, numberOf, Tuple, textOf, typeName, type Value } from '../values/values.js'

/** Python's `json.dumps(value, sort_keys=True)`, with what means something in HTML escaped as well. */
export function toJson(context: Context, value: Value, indentation: string | null): string {
  checkDepth(context, value)
  return new JsonWriter(context, indentation).write(value, 0)
}

class JsonWriter {
  readonly #context: Context
  readonly #indentation: string | null

  constructor(context: Context, indentation: string | null) {
    this.#context = context
    this.#indentation = indentation
  }

  write(value: Value, depth: number): string {
    this.#context.budget.step()
    const text = this.#text(value, depth)
    this.#context.budget.characters(text.length)
    return text
  }

  #text(value: Value, depth: number): string {
    if (value === null || typeof value === 'boolean' || numberOf(value) !== null) return scalar(value)
    const text = textOf(value)
    if (text !== null) {
      this.#context.budget.characters(2 * text.length)
      return quoted(this.#context, text)
    }
    if (isList(value)) return this.#list(value, depth)
    if (value instanceof Tuple) return this.#list(value.items, depth)
    if (value instanceof Dict) return this.#dict(value, depth)
    throw typeError(`Object of type ${typeName(value)} is not JSON serializable`)
  }

  #list(items: readonly Value[], depth: number): string {
    const parts = items.map((item) => this.write(item, depth + 1))
    return this.#enclosed('[', parts, ']', depth)
  }

  #dict(dict: Dict, depth: number): string {
    const entries = Array.from(dict.entries()).sort(([a], [b]) => order(this.#context, a, b))
    const parts = entries.map(([key, item]) => `${keyOf(this.#context, key)}: ${this.write(item, depth + 1)}`)
    return this.#enclosed('{', parts, '}', depth)
  }

  #enclosed(open: string, parts: string[], close: string, depth: number): string {
    if (parts.length === 0) return open + close
    if (this.#indentation === null) return `${open}${parts.join(', ')}${close}`
    this.#context.budget.characters((parts.length + 1) * (this.#indentation.length * (depth + 1) + 2))
    const line = `\n${this.#indentation.repeat(depth + 1)}`
    return `${open}${line}${parts.join(`,${line}`)}\n${this.#indentation.repeat(depth)}${close}`
  }
}

function scalar(value: Value): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  const number = numberOf(value)
  if (!isFloat(value)) return BigInt(number ?? 0).toString()
  if (Number.isNaN(number)) return 'NaN'
  if (!Number.isFinite(number)) return Number(number) > 0 ? 'Infinity' : '-Infinity'
  return reprFloat(Number(number))
}

function keyOf(context: Context, key: Value): string {
  const text = textOf(key)
  if (text !== null) return quoted(context, text)
  if (key !== null && numberOf(key) === null) {
    throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
  }
  return `"${scalar(key)}"`
}

/** What means something in HTML. */
const escapes = [
  ['<', '\\u003c'],
  ['>', '\\u003e'],
  ['&', '\\u0026'],
  ["'", '\\u0027'],
] as const
/** What looking for these takes, in characters that are copied. */
const htmlCost = 4
const notAscii = /[\u007f-\uffff]+/g
/** What escaping one unit takes, in characters that are copied, besides the length of what it becomes. */
const escapeCost = 12

/** ASCII only, as Python writes it by default. */
function quoted(context: Context, text: string): string {
  if (/[<>&']/.test(text)) context.budget.characters(htmlCost * text.length)
  const escaped = escapes.reduce((made, [character, code]) => substituted(made, character, code), JSON.stringify(text))
  return escaped.replace(notAscii, (units) => {
    context.budget.characters(escapeCost * units.length)
    let codes = ''
    for (let at = 0; at < units.length; at += 1) codes += `\\u${(0x10000 + units.charCodeAt(at)).toString(16).slice(1)}`
    return codes
  })
}

const maxIndentation = 1000

export function indentationOf(value: Value): string | null {
  if (value === null) return null
  const text = textOf(value)
  if (text !== null) return text
  if (isFloat(value) || numberOf(value) === null)
    throw typeError(`can't multiply sequence by non-int of type '${typeName(value)}'`)
  const count = Number(numberOf(value))
  if (count > maxIndentation) throw valueError(`An indentation over ${maxIndentation} is not supported.`)
  return ' '.repeat(Math.max(0, count))
}
