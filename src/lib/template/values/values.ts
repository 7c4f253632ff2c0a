import { type Charge, reprFloat, reprString } from './python-literals.js'

/**
 * The values of a template, as Python has them: Jinja2 is the reference, and its users know Python's. Plain JavaScript
 * stands for what it can stand for; the rest are small classes without behaviour. Nothing here reads a property by a name
 * that a template gave.
 */

/** A float with an integral value, such as `2.0`: a plain number of that value would be an int. */
export class Float {
  constructor(readonly value: number) {}
}

export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** What a name or attribute that does not exist gives. `what` names it for messages: `'user' is undefined`. */
export class Undefined {
  constructor(readonly what: string) {}
}

/** An ordered mapping with Python's keys: `1`, `1.0` and `True` are one. */
export class Dict {
  readonly #entries = new Map<Hash, [key: Value, value: Value]>()

  static from(pairs: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict()
    for (const [key, value] of pairs) dict.set(key, value)
    return dict
  }

  get size(): number {
    return this.#entries.size
  }

  /** Throws `OperationError` for what Python cannot hash, as `has` does. */
  get(key: Value): Value | undefined {
    checkKey(key)
    return this.find(key)
  }

  has(key: Value): boolean {
    return this.get(key) !== undefined
  }

  /** The same without an exception: what cannot be a key is in none. */
  find(key: Value): Value | undefined {
    const hash = keyOf(key)
    return hash === undefined ? undefined : this.#entries.get(hash)?.[1]
  }

  /** An existing key keeps its place and its first form. */
  set(key: Value, value: Value): void {
    checkKey(key)
    const hash = keyOf(key)
    if (hash === undefined) throw new OperationError('TooComplex', `A key of a dict is longer than ${maxKeyLength} characters.`)
    const entry = this.#entries.get(hash)
    if (entry) entry[1] = value
    else this.#entries.set(hash, [key, value])
  }

  entries(): IterableIterator<[Value, Value]> {
    return this.#entries.values()
  }
}

/**
 * Something that can be called, a method say. `kind` is Python's name of its type. A template reaches nothing of it but the
 * call. What Python prints with an address, which is another each time, has no `printed`.
 */
export class Callable {
  constructor(
    readonly kind: string,
    readonly call: (args: readonly Value[], kwargs: ReadonlyMap<string, Value>) => Value,
    readonly printed: string | null = null,
  ) {}
}

/** Which arguments a macro takes besides its parameters, because its body uses them. */
export type MacroExtras = { kwargs: boolean; varargs: boolean; caller: boolean }

/** A macro, or the body of a `call` block, which has no name. */
export class Macro extends Callable {
  readonly #attributes: ReadonlyMap<string, Value>

  constructor(name: string | null, parameters: readonly string[], extras: MacroExtras, call: Callable['call']) {
    super('Macro', call, `<Macro ${name === null ? 'anonymous' : reprString(name)}>`)
    this.#attributes = new Map<string, Value>([
      ['name', name],
      ['arguments', new Tuple(parameters)],
      ['catch_kwargs', extras.kwargs],
      ['catch_varargs', extras.varargs],
      ['caller', extras.caller],
      ['explicit_caller', parameters.includes('caller')],
    ])
  }

  get(name: string): Value | undefined {
    return this.#attributes.get(name)
  }
}

/** `loop`, `namespace()`, a cycler, an imported template: something with named attributes and perhaps a call. */
export class Attributes {
  constructor(
    readonly kind: string,
    /** The value of an attribute, or undefined where there is none. */
    readonly get: (name: string) => Value | undefined,
    /** `{% set ns.x = … %}`; only a namespace has it. */
    readonly set?: (name: string, value: Value) => void,
    readonly call?: Callable['call'],
  ) {}
}

/** Attributes that are printed by what they hold. */
export class Printed extends Attributes {
  constructor(
    kind: string,
    readonly print: () => string,
    get: Attributes['get'],
    set?: Attributes['set'],
    call?: Callable['call'],
  ) {
    super(kind, get, set, call)
  }
}

/** Python's `range`, whose items exist already. */
export class Range extends Printed {
  readonly items: readonly number[]
  readonly #start: number
  readonly #step: number

  constructor(start: number, stop: number, step: number) {
    const bounds = new Map([
      ['start', start],
      ['stop', stop],
      ['step', step],
    ])
    super(
      'range',
      () => `range(${start}, ${stop}${step === 1 ? '' : `, ${step}`})`,
      (name) => bounds.get(name),
    )
    const items: number[] = []
    for (let value = start; step > 0 ? value < stop : value > stop; value += step) items.push(value)
    this.items = items
    this.#start = start
    this.#step = step
  }

  /** A slice, whose bounds are within the length. */
  part(from: number, to: number, by: number): Range {
    return new Range(this.#start + from * this.#step, this.#start + to * this.#step, this.#step * by)
  }
}

/** A tuple whose items have names as well: what `groupby` gives, `(grouper, list)`. */
export class NamedTuple extends Tuple {
  constructor(
    items: readonly Value[],
    readonly names: readonly string[],
  ) {
    super(items)
  }

  named(name: string): Value | undefined {
    return this.items[this.names.indexOf(name)]
  }
}

/** What `d.items()`, `d.keys()` and `d.values()` give: it has a length and can be gone through, and has no index. */
export class View extends Attributes {
  constructor(
    kind: 'dict_items' | 'dict_keys' | 'dict_values',
    readonly items: readonly Value[],
  ) {
    super(kind, () => undefined)
  }
}

/** What `map`, `select` and others give: it can be gone through once, has no length, and is true even where nothing is in it. */
export class Once extends Attributes {
  readonly #items: readonly Value[]
  #next = 0

  constructor(kind: string, items: readonly Value[]) {
    super(kind, () => undefined)
    this.#items = items
  }

  /** What is left of the items, at most `count`; it is gone then. */
  take(count = Number.POSITIVE_INFINITY): readonly Value[] {
    const start = this.#next
    this.#next = Math.min(start + count, this.#items.length)
    return this.#items.slice(start, this.#next)
  }
}

/** A text that `escape` or `safe` has marked: it is not escaped again. Prints as its text. */
export class Markup {
  constructor(readonly text: string) {}
}

/** `null` is None; an integral `number` and a `bigint` beyond 2^53 are ints; any other `number` is a float. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Float
  | Markup
  | Tuple
  | Dict
  | Undefined
  | Callable
  | Attributes
  | readonly Value[]

/** Messages quote what templates hold, however long that is. */
const maxMessageLength = 300

/** An operation that Python refuses, with the name of its exception: `TypeError`, `ValueError`, `UndefinedError`, … */
export class OperationError extends Error {
  constructor(
    readonly kind: string,
    message: string,
  ) {
    super(message.length > maxMessageLength ? `${message.slice(0, maxMessageLength).replace(/[\ud800-\udbff]$/, '')}…` : message)
    this.name = 'OperationError'
  }
}

/** The kind of an operation that Python has and templates do not. */
export const notSupportedKind = 'NotSupportedError'

export function float(value: number): number | Float {
  return Number.isInteger(value) ? new Float(value) : value
}

export function int(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

export function isInt(value: Value): value is number | bigint {
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
}

export function isFloat(value: Value): value is number | Float {
  return value instanceof Float || (typeof value === 'number' && !Number.isInteger(value))
}

export function isNumber(value: Value): value is number | bigint | Float {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof Float
}

/** The number of a number or a boolean, which is one in Python, as JavaScript has it; null for anything else. */
export function numberOf(value: Value): number | bigint | null {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Float) return value.value
  return typeof value === 'number' || typeof value === 'bigint' ? value : null
}

/** Python's name of the type, for messages: `int`, `str`, `dict`, … */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'str'
  if (isInt(value)) return 'int'
  if (isFloat(value)) return 'float'
  if (value instanceof Tuple) return 'tuple'
  if (value instanceof Dict) return 'dict'
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Markup) return 'Markup'
  if (value instanceof Callable || value instanceof Attributes) return value.kind
  return 'list'
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

export function isTruthy(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return value !== ''
  if (value instanceof Markup) return value.text !== ''
  if (value instanceof Float) return value.value !== 0
  if (typeof value === 'number') return value !== 0
  if (typeof value === 'bigint') return value !== 0n
  if (value instanceof Tuple) return value.items.length > 0
  if (value instanceof Dict) return value.size > 0
  if (value instanceof View || value instanceof Range) return value.items.length > 0
  return isList(value) ? value.length > 0 : true
}

type Hash = string | number | bigint | Callable | Attributes

/** Longer ones are in no dict, so that looking for one takes no time. */
const maxKeyLength = 4000
/** Of what is put together for each search. */
const maxMadeKeyLength = 500

/** What tells a key of another type from a text, of which none that begins so is taken as it is. */
const mark = '\0'

/** What a dict finds a key by; undefined where it can be in none. */
function keyOf(key: Value): Hash | undefined {
  if (typeof key === 'string') return textKey(key)
  const number = numberOf(key)
  if (number !== null) return typeof number === 'bigint' && Number.isSafeInteger(Number(number)) ? Number(number) : number
  if (key instanceof Markup) return textKey(key.text)
  if (key === null) return `${mark}n`
  if (key instanceof Tuple) return tupleKey(key)
  if (key instanceof Undefined) return `${mark}u`
  if (key instanceof Range) return `${mark}r${key.items.length}:${key.items[0]}:${key.items[1]}`
  // These are equal to themselves only.
  return isHashable(key) ? (key as Callable | Attributes) : undefined
}

function textKey(text: string): string | undefined {
  if (text.charCodeAt(0) === 0) return text.length > maxMadeKeyLength ? undefined : `${mark}s${text}`
  return text.length > maxKeyLength ? undefined : text
}

function isHashable(key: Value): boolean {
  if (isList(key) || key instanceof Dict) return false
  return !(key instanceof Attributes) || (key.kind !== 'dict_items' && key.kind !== 'dict_keys')
}

function checkKey(key: Value): void {
  if (typeof key === 'string') return
  if (!isHashable(key)) throw new OperationError('TypeError', `unhashable type: '${typeName(key)}'`)
  if (key instanceof Tuple) checkTuple(key)
}

/** A tuple may hold one twice, and that one too: what is too long for a key is not looked at further. */
function checkTuple({ items }: Tuple, seen = { items: 0 }): void {
  for (const item of items) {
    seen.items += 1
    if (seen.items > maxMadeKeyLength) return
    if (item instanceof Tuple) checkTuple(item, seen)
    else if (!isHashable(item) || item instanceof Callable || (item instanceof Attributes && !(item instanceof Range))) {
      throw new OperationError('TypeError', `unhashable type: '${typeName(item)}'`)
    }
  }
}

/** A text that tuples share only if they are equal; undefined beyond a length, which is also the bound of the work. */
function tupleKey(tuple: Tuple): string | undefined {
  let key = `${mark}t`
  const write = ({ items }: Tuple): boolean => {
    key += '('
    const isShort = items.every((item) => {
      if (key.length > maxMadeKeyLength) return false
      if (item instanceof Tuple) return write(item)
      const own = keyOf(item)
      if (own === undefined || typeof own === 'object') return false
      key += `${typeof own}:${String(own).length}:${own}`
      return true
    })
    key += ')'
    return isShort
  }
  return write(tuple) && key.length <= maxMadeKeyLength ? key : undefined
}

/** Text for output and `|string`: `None`, `True`, `1.0`, `['a', 1]`, `{'a': 1}`. */
export function str(value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) return ''
  return repr(value)
}

/** Python's `repr`. Depth is bounded by what can be built; length is charged by `charge` as it grows. */
export function repr(value: Value, charge: Charge = () => undefined): string {
  const text = reprOnce(value, charge)
  charge(text.length)
  return text
}

function intText(value: number | bigint): string {
  return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString()
}

function reprOnce(value: Value, charge: Charge): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return reprString(value, charge)
  if (value instanceof Markup) return `Markup(${reprString(value.text, charge)})`
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Float) return reprFloat(value.value)
  if (typeof value === 'number') return isInt(value) ? intText(value) : reprFloat(value)
  const list = (items: Iterable<Value>) => Array.from(items, (item) => repr(item, charge)).join(', ')
  if (value instanceof Tuple) return value.items.length === 1 ? `(${list(value.items)},)` : `(${list(value.items)})`
  if (value instanceof Dict) {
    return `{${Array.from(value.entries(), ([key, item]) => `${repr(key, charge)}: ${repr(item, charge)}`).join(', ')}}`
  }
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof View) return `${value.kind}([${list(value.items)}])`
  if (value instanceof Printed) return value.print()
  if (value instanceof Callable || value instanceof Attributes) return printedName(value)
  return `[${list(value)}]`
}

function printedName(value: Callable | Attributes): string {
  if (value instanceof Callable && value.printed !== null) return value.printed
  const what = value.kind === 'builtin_function_or_method' ? 'method' : value.kind
  const remedy = value instanceof Once ? 'Add the filter "list" or "join".' : 'Did you mean to call it?'
  throw new OperationError(
    notSupportedKind,
    `Python prints a ${what} with its address, which is another each time: templates do not print it. ${remedy}`,
  )
}

export function textOf(value: Value): string | null {
  if (typeof value === 'string') return value
  return value instanceof Markup ? value.text : null
}

const maxInputDepth = 64

/** From 1e21 on JSON has an exponent where JavaScript writes it, which makes a float of it for Python. */
const isWrittenAsFloat = (value: number) => Number.isInteger(value) && Math.abs(value) >= 1e21

/** A JSON value as a template's value: own enumerable properties only. An integral number is an int. Throws `OperationError` when nested too deeply. */
export function fromJson(json: unknown, depth = 0): Value {
  if (depth > maxInputDepth) throw new OperationError('ValueError', `The variables are nested deeper than ${maxInputDepth}.`)
  if (json === null || json === undefined) return null
  if (typeof json === 'string' || typeof json === 'boolean' || typeof json === 'bigint') return json
  if (typeof json === 'number') return isWrittenAsFloat(json) ? new Float(json) : json
  if (Array.isArray(json)) return json.map((item) => fromJson(item, depth + 1))
  if (typeof json === 'object') return Dict.from(Object.entries(json).map(([key, value]) => [key, fromJson(value, depth + 1)]))
  throw new OperationError('TypeError', `A ${typeof json} is no JSON value.`)
}
