import { typeError, undefinedError, valueError } from './arguments.js'
import { checkPrecision, floatDigits, intDigits } from './format-numbers.js'
import { characterOf, finite } from './format-specification.js'
import { chargeTo, payForEach, reprFor, textFor } from './iteration.js'
import { escaped, escapeText, like } from './markup.js'
import type { Context } from './operations.js'
import { asciiOf } from './python-literals.js'
import { parseFloatText, parseInteger, truncate } from './python-numbers.js'
import { lengthOfText, sliceText } from './python-text.js'
import {
  Dict,
  isFloat,
  isList,
  Markup,
  numberOf,
  OperationError,
  Range,
  repr,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** Python's `text % values`, for the operator and the `format` filter. */
export function percentFormat(context: Context, format: string | Markup, values: Value): string | Markup {
  const source = format instanceof Markup ? format.text : format
  const formatter = new PercentFormatter(context, source, values, format instanceof Markup)
  return like(format, formatter.run())
}

type Field = {
  flags: string
  width: number
  precision: number | null
  type: string
  /** Where the type is, for messages. */
  at: number
}

const maxNumber = 2 ** 31
/** What looking at each character of a field takes, in characters that are copied. */
const costOfLooking = 8

class PercentFormatter {
  readonly #context: Context
  readonly #source: string
  readonly #values: Value
  readonly #escapes: boolean
  #at = 0
  #used = 0
  #isMapped = false
  #result = ''

  constructor(context: Context, source: string, values: Value, escapes: boolean) {
    this.#context = context
    this.#source = source
    this.#values = values
    this.#escapes = escapes
  }

  run(): string {
    const source = this.#source
    for (let start = source.indexOf('%'); start !== -1; start = source.indexOf('%', this.#at)) {
      this.#context.budget.step()
      this.#emit(source.slice(this.#at, start))
      this.#at = start + 1
      this.#field()
    }
    this.#emit(source.slice(this.#at))
    const count = this.#values instanceof Tuple ? this.#values.items.length : this.#isSubscriptable() ? 0 : 1
    if (!this.#isMapped && this.#used < count) throw typeError('not all arguments converted during string formatting')
    return this.#result
  }

  /** What is no tuple can be taken as one value, or as a mapping that need not be used up. */
  #isSubscriptable(): boolean {
    const values = this.#values
    return values instanceof Dict || values instanceof Undefined || values instanceof Range || isList(values)
  }

  #emit(text: string): void {
    this.#context.budget.characters(text.length)
    this.#result += text
  }

  #field(): void {
    const start = this.#at
    const mapped = this.#source[this.#at] === '(' ? this.#mapped() : undefined
    const flags = this.#while('-+ #0')
    const width = this.#number(mapped) ?? 0
    let precision: number | null = null
    if (this.#source[this.#at] === '.') {
      this.#at += 1
      precision = Math.max(0, this.#number(mapped) ?? 0)
    }
    if ('hlL'.includes(this.#source[this.#at] || ' ')) this.#at += 1
    const type = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0)
    if (this.#at >= this.#source.length) throw valueError('incomplete format')
    const at = this.#at
    this.#at += type.length
    if (type === '%' && at === start) {
      this.#emit('%')
      return
    }
    const isLeft = flags.includes('-') || width < 0
    const field = { flags: isLeft ? `${flags}-` : flags, width: Math.abs(width), precision, type, at }
    const value = mapped === undefined ? this.#next() : mapped
    this.#checkType(field)
    this.#emitField(field, value)
  }

  #checkType({ type, at }: Field): void {
    if ('diuoxXeEfFgGcrsa'.includes(type)) return
    const code = (type.codePointAt(0) ?? 0).toString(16)
    throw valueError(`unsupported format character '${type}' (0x${code}) at index ${lengthOfText(this.#source.slice(0, at))}`)
  }

  #emitField(field: Field, value: Value): void {
    if (field.precision !== null) checkPrecision(this.#context, 'sra'.includes(field.type) ? 0 : field.precision)
    this.#context.budget.characters(field.width)
    const [sign, body] = this.#convert(field, value)
    const missing = field.width - lengthOfText(sign) - lengthOfText(body)
    const fill = Math.max(0, missing)
    const isPadded = field.flags.includes('0') && !'srac'.includes(field.type)
    if (field.flags.includes('-')) this.#emit(sign + body + ' '.repeat(fill))
    else this.#emit(isPadded ? sign + '0'.repeat(fill) + body : ' '.repeat(fill) + sign + body)
  }

  #mapped(): Value {
    let depth = 1
    const start = this.#at + 1
    let at = start
    for (; at < this.#source.length && depth > 0; at += 1) {
      if (this.#source[at] === '(') depth += 1
      else if (this.#source[at] === ')') depth -= 1
    }
    if (depth > 0) throw valueError('incomplete format key')
    this.#context.budget.characters(costOfLooking * (at - start))
    this.#at = at
    this.#isMapped = true
    // What is taken as a mapping is no longer one value.
    this.#used = 1
    return this.#lookUp(this.#source.slice(start, at - 1))
  }

  #lookUp(key: string): Value {
    const values = this.#values
    if (values instanceof Undefined) throw undefinedError(values)
    if (isList(values)) throw typeError('list indices must be integers or slices, not str')
    if (!(values instanceof Dict)) throw typeError('format requires a mapping')
    const value = values.get(key)
    if (value === undefined) throw new OperationError('KeyError', repr(key))
    return value
  }

  #next(): Value {
    const values = this.#values
    const isOne = !(values instanceof Tuple)
    if (this.#used >= (isOne ? 1 : values.items.length)) throw typeError('not enough arguments for format string')
    const value = isOne ? values : (values.items[this.#used] ?? null)
    this.#used += 1
    return value
  }

  #while(allowed: string): string {
    const start = this.#at
    while (this.#at < this.#source.length && allowed.includes(this.#source[this.#at] ?? '')) this.#at += 1
    this.#context.budget.characters(costOfLooking * (this.#at - start))
    return this.#source.slice(start, this.#at)
  }

  #number(mapped: Value | undefined): number | null {
    if (this.#source[this.#at] === '*') {
      this.#at += 1
      if (mapped !== undefined) throw typeError('* wants int')
      const value = this.#next()
      const number = numberOf(value)
      if (number === null || isFloat(value)) throw typeError('* wants int')
      return checkedNumber(Number(number))
    }
    const digits = this.#while('0123456789')
    return digits === '' ? null : checkedNumber(Number(digits))
  }

  /** The sign with the prefix, and the rest. */
  #convert(field: Field, value: Value): [sign: string, body: string] {
    const { type } = field
    if ('sra'.includes(type)) return ['', this.#text(field, value)]
    if (value instanceof Undefined) throw undefinedError(value)
    if (type === 'c') return ['', this.#character(value)]
    return 'eEfFgG'.includes(type) ? this.#float(field, value) : this.#int(field, value)
  }

  #text({ type, precision }: Field, value: Value): string {
    const text = type === 's' ? textFor(this.#context, value) : reprFor(this.#context, value)
    const ascii = type === 'a' ? asciiOf(text, chargeTo(this.#context)) : text
    const done = !this.#escapes ? ascii : type === 's' ? escaped(this.#context, value) : escapeText(this.#context, ascii)
    return precision === null ? done : sliceText(done, 0, precision)
  }

  #character(value: Value): string {
    if (this.#escapes) throw typeError('%c requires int or char')
    const text = textOf(value)
    const number = numberOf(value)
    if (text !== null && lengthOfText(text) === 1) return text
    if (text !== null || number === null || isFloat(value)) throw typeError('%c requires int or char')
    return characterOf(number)
  }

  #float({ type, flags, precision }: Field, value: Value): [string, string] {
    const number = this.#escapes ? convertedFloat(this.#context, value) : numberOf(value)
    if (number === null) throw typeError(`must be real number, not ${typeName(value)}`)
    const float = finite(number)
    const isNegative = float < 0 || Object.is(float, -0)
    const digits = floatDigits(Math.abs(float), { type, precision: precision ?? 6, isAlternate: flags.includes('#') })
    return [signOf(isNegative, flags), digits]
  }

  #int({ type, flags, precision }: Field, value: Value): [string, string] {
    const isHex = 'oxX'.includes(type)
    if (isHex && (this.#escapes || numberOf(value) === null || isFloat(value))) {
      throw typeError(`%${type} format: an integer is required, not ${typeName(value)}`)
    }
    const number = this.#escapes ? convertedInt(this.#context, value) : numberOf(value)
    if (number === null) throw typeError(`%${type} format: a real number is required, not ${typeName(value)}`)
    const big = BigInt(typeof number === 'bigint' ? number : (truncate(number) as number | bigint))
    const digits = intDigits(this.#context, big < 0n ? -big : big, type).padStart(precision ?? 0, '0')
    const prefix = isHex && flags.includes('#') ? `0${type}` : ''
    return [signOf(big < 0n, flags) + prefix, digits]
  }
}

function checkedNumber(value: number): number {
  if (!(Math.abs(value) < maxNumber)) throw valueError('width too big')
  return value
}

function signOf(isNegative: boolean, flags: string): string {
  if (isNegative) return '-'
  return flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
}

/** Markup hands its values over as things to convert, so that even texts become numbers. */
function convertedFloat(context: Context, value: Value): number | bigint | null {
  const text = textOf(value)
  if (text === null) return numberOf(value)
  payForEach(context, text)
  return numberOf(parseFloatText(text))
}

function convertedInt(context: Context, value: Value): number | bigint | null {
  const text = textOf(value)
  if (text === null) return numberOf(value)
  payForEach(context, text)
  return numberOf(parseInteger(text, 10))
}
