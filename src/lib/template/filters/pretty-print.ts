import { checkDepth, order, reprFor } from '../values/iteration.js'
import type { Context } from '../values/operations.js'
import { isSpace } from '../values/python-case.js'
import { lengthOfText, splitLines } from '../values/python-text.js'
import { Dict, isList, NamedTuple, OperationError, repr, Tuple, textOf, type Value } from '../values/values.js'

/** Python's `pprint.pformat`: on one line of 80 where it fits, else an item a line, dicts by their keys. */
export function prettyPrint(context: Context, value: Value): string {
  checkDepth(context, value)
  return new PrettyPrinter(context).format(value, { indent: 0, allowance: 0, level: 0 })
}

const lineWidth = 80

/** Where a value begins, what has to fit behind it on its last line, and how deep it is. */
type Place = { indent: number; allowance: number; level: number }

class PrettyPrinter {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  format(value: Value, place: Place): string {
    const line = this.#onOneLine(value)
    if (lengthOfText(line) <= lineWidth - place.indent - place.allowance) return line
    const inner = { ...place, level: place.level + 1 }
    if (typeof value === 'string') return this.#text(value, inner)
    if (isList(value)) return `[${this.#items(value, inner, 1)}]`
    if (value instanceof Tuple && !(value instanceof NamedTuple)) {
      const end = value.items.length === 1 ? ',)' : ')'
      return `(${this.#items(value.items, inner, end.length)}${end}`
    }
    return value instanceof Dict ? `{${this.#entries(value, inner)}}` : line
  }

  #onOneLine(value: Value): string {
    this.#context.budget.step()
    const text = this.#line(value)
    this.#context.budget.characters(text.length)
    return text
  }

  #line(value: Value): string {
    if (isList(value)) return `[${value.map((item) => this.#onOneLine(item)).join(', ')}]`
    if (value instanceof Tuple && !(value instanceof NamedTuple)) {
      const items = value.items.map((item) => this.#onOneLine(item)).join(', ')
      return value.items.length === 1 ? `(${items},)` : `(${items})`
    }
    // A tuple with names is printed as it stands, its dicts not by their keys.
    if (!(value instanceof Dict)) return reprFor(this.#context, value)
    return `{${this.#sorted(value)
      .map(([key, item]) => `${this.#onOneLine(key)}: ${this.#onOneLine(item)}`)
      .join(', ')}}`
  }

  /** Keys that have no order among them are taken by their types. */
  #sorted(dict: Dict): [Value, Value][] {
    return Array.from(dict.entries()).sort(([a], [b]) => (haveOrder(a, b) ? this.#order(a, b) : orderOfTypes(a, b)))
  }

  /** That of tuples shows in their items only. */
  #order(a: Value, b: Value): number {
    try {
      return order(this.#context, a, b)
    } catch (error) {
      if (!(error instanceof OperationError)) throw error
      this.#context.budget.step(costOfException)
      return orderOfTypes(a, b)
    }
  }

  #items(items: readonly Value[], place: Place, ending: number): string {
    const indent = place.indent + 1
    const last = items.length - 1
    return items
      .map((item, index) => this.format(item, { ...place, indent, allowance: index === last ? place.allowance + ending : 1 }))
      .join(this.#separator(indent, items.length))
  }

  #entries(dict: Dict, place: Place): string {
    const indent = place.indent + 1
    const entries = this.#sorted(dict)
    const last = entries.length - 1
    return entries
      .map(([key, item], index) => {
        const name = this.#onOneLine(key)
        const allowance = index === last ? place.allowance + 1 : 1
        return `${name}: ${this.format(item, { ...place, indent: indent + lengthOfText(name) + 2, allowance })}`
      })
      .join(this.#separator(indent, entries.length))
  }

  #separator(indent: number, count: number): string {
    this.#context.budget.characters(count * (indent + 2))
    return `,\n${' '.repeat(indent)}`
  }

  #text(text: string, place: Place): string {
    const isWhole = place.level === 1
    const indent = place.indent + (isWhole ? 1 : 0)
    const allowance = place.allowance + (isWhole ? 1 : 0)
    const lines = splitLines(text, () => this.#context.budget.step(), true)
    const chunks = lines.flatMap((line, index) =>
      this.#wrapped(line, lineWidth - indent, index === lines.length - 1 ? allowance : 0),
    )
    const [only] = chunks
    if (chunks.length === 1 && only !== undefined) return only
    this.#context.budget.characters(chunks.length * (indent + 1))
    const joined = chunks.join(`\n${' '.repeat(indent)}`)
    return isWhole ? `(${joined})` : joined
  }

  /** One line of a text as several literals, none of them wider than the width if its words allow it. */
  #wrapped(line: string, width: number, allowance: number): string[] {
    const whole = this.#onOneLine(line)
    if (lengthOfText(whole) <= width - allowance) return [whole]
    const parts = wordsWithSpace(line)
    const chunks: string[] = []
    let current = ''
    parts.forEach((part, index) => {
      const room = index === parts.length - 1 ? width - allowance : width
      if (lengthOfText(this.#onOneLine(current + part)) > room) {
        if (current) chunks.push(repr(current))
        current = part
      } else current += part
    })
    return current ? [...chunks, repr(current)] : chunks
  }
}

const costOfException = 10

function haveOrder(a: Value, b: Value): boolean {
  const isText = textOf(a) !== null
  return isText || textOf(b) !== null ? isText && textOf(b) !== null : a !== null && b !== null
}

function orderOfTypes(a: Value, b: Value): number {
  const [first, second] = [classOf(a), classOf(b)]
  return first < second ? -1 : first > second ? 1 : 0
}

const classNames = new Map([
  ['boolean', 'bool'],
  ['string', 'str'],
  ['bigint', 'int'],
])

function classOf(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float'
  return classNames.get(typeof value) ?? (value instanceof Tuple ? 'tuple' : 'float')
}

/** Each word with the white space behind it. */
function wordsWithSpace(line: string): string[] {
  const parts: string[] = []
  let start = 0
  let isBehindWord = false
  for (let at = 0; at < line.length; at += 1) {
    const isBlank = isSpace(line[at] ?? '')
    if (!isBlank && isBehindWord) {
      parts.push(line.slice(start, at))
      start = at
    }
    isBehindWord = isBlank
  }
  return [...parts, line.slice(start)]
}
