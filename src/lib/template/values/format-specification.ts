import { notSupported, typeError, valueError } from './arguments.js'
import { checkPrecision, floatDigits, intDigits } from './format-numbers.js'
import { textFor } from './iteration.js'
import type { Context } from './operations.js'
import { lengthOfText, sliceText } from './python-text.js'
import { isFloat, numberOf, OperationError, textOf, typeName, type Value } from './values.js'

/** `[[fill]align][sign][z][#][0][width][grouping][.precision][type]` */
type Specification = {
  fill: string
  align: string
  sign: string
  isZeroPositive: boolean
  isAlternate: boolean
  width: number
  grouping: string
  precision: number | null
  type: string
}

/** Python's `format(value, specification)`. */
export function formatValue(context: Context, value: Value, text: string): string {
  if (text === '') return textFor(context, value)
  const name = typeName(value)
  const number = numberOf(value)
  const isText = textOf(value) !== null
  if (number === null && !isText) throw typeError(`unsupported format string passed to ${name}.__format__`)
  const specification = parse(text, name)
  if (specification.precision !== null) checkPrecision(context, specification.precision)
  context.budget.characters(specification.width)
  if (number === null) return formatText(textOf(value) ?? '', specification)
  return isFloat(value) ? formatFloat(Number(number), specification, name) : formatInt(context, number, specification, name)
}

const maxNumber = 1e9

class Reader {
  readonly #characters: string[]
  #next = 0

  constructor(text: string) {
    this.#characters = Array.from(text)
  }

  peek(offset = 0): string {
    return this.#characters[this.#next + offset] ?? ''
  }

  take(allowed: string): string {
    const character = this.peek()
    if (character === '' || !allowed.includes(character)) return ''
    this.#next += 1
    return character
  }

  any(): string {
    const character = this.peek()
    this.#next += 1
    return character
  }

  number(): number | null {
    let value: number | null = null
    for (let digit = this.take('0123456789'); digit !== ''; digit = this.take('0123456789')) {
      value = (value ?? 0) * 10 + Number(digit)
      if (value > maxNumber) throw valueError('Too many decimal digits in format string')
    }
    return value
  }
}

function parse(text: string, name: string): Specification {
  const reader = new Reader(text)
  const hasFill = reader.peek(1) !== '' && '<>=^'.includes(reader.peek(1))
  let fill = hasFill ? reader.any() : ' '
  let align = reader.take('<>=^')
  const sign = reader.take('+- ')
  const isZeroPositive = reader.take('z') !== ''
  const isAlternate = reader.take('#') !== ''
  const isPadded = !hasFill && reader.take('0') !== ''
  if (isPadded) {
    fill = '0'
    if (!align) align = name === 'str' || name === 'Markup' ? '<' : '='
  }
  const width = reader.number() ?? 0
  const grouping = reader.take(',_')
  if (grouping && reader.take(',_')) throw valueError(`Cannot specify both ',' and '_'.`)
  const hasPrecision = reader.take('.') !== ''
  const precision = hasPrecision ? reader.number() : null
  if (hasPrecision && precision === null) throw valueError('Format specifier missing precision')
  const type = reader.peek() === '' ? '' : reader.any()
  if (reader.peek() !== '') throw valueError(`Invalid format specifier '${text}' for object of type '${name}'`)
  return { fill, align, sign, isZeroPositive, isAlternate, width, grouping, precision, type }
}

const unknownType = (type: string, name: string) => valueError(`Unknown format code '${type}' for object of type '${name}'`)

function formatText(text: string, specification: Specification): string {
  const { type, sign, grouping, align, precision } = specification
  if (type !== '' && type !== 's') throw unknownType(type, 'str')
  if (sign) throw valueError('Sign not allowed in string format specifier')
  if (specification.isZeroPositive) throw valueError('Negative zero coercion (z) not allowed in string format specifier')
  if (specification.isAlternate) throw valueError('Alternate form (#) not allowed in string format specifier')
  if (grouping) throw valueError(`Cannot specify '${grouping}' with 's'.`)
  if (align === '=') throw valueError(`'=' alignment not allowed in string format specifier`)
  return aligned('', precision === null ? text : sliceText(text, 0, precision), specification, '<')
}

function formatFloat(value: number, specification: Specification, name: string): string {
  const { type, precision, isAlternate } = specification
  if (type !== '' && !'eEfFgGn%'.includes(type)) throw unknownType(type, name)
  if (type === 'n' && specification.grouping) throw valueError(`Cannot specify '${specification.grouping}' with 'n'.`)
  const style = type === '' ? 'r' : type === 'n' ? 'g' : type === '%' ? 'f' : type
  const magnitude = Math.abs(type === '%' ? value * 100 : value)
  const digits = floatDigits(magnitude, { type: style, precision, isAlternate }) + (type === '%' ? '%' : '')
  const isNegative = value < 0 || Object.is(value, -0)
  const isZero = specification.isZeroPositive && Number(digits.replace('%', '')) === 0
  return grouped(signOf(isNegative && !isZero, specification.sign), digits, specification, 3)
}

function formatInt(context: Context, value: number | bigint, specification: Specification, name: string): string {
  const { type, precision, grouping, isAlternate } = specification
  if (type !== '' && 'eEfFgG%'.includes(type)) return formatFloat(finite(value), specification, name)
  if (type !== '' && !'bcdnoxX'.includes(type)) throw unknownType(type, name)
  if (precision !== null) throw valueError('Precision not allowed in integer format specifier')
  if (specification.isZeroPositive) throw valueError('Negative zero coercion (z) not allowed in format specifier with integer')
  if (type === 'c') return formatCharacter(value, specification)
  if ((grouping && type === 'n') || (grouping === ',' && 'boxX'.includes(type) && type !== '')) {
    throw valueError(`Cannot specify '${grouping}' with '${type}'.`)
  }
  const big = BigInt(value)
  const isBinary = type !== '' && 'boxX'.includes(type)
  const prefix = isAlternate && isBinary ? `0${type}` : ''
  const digits = intDigits(context, big < 0n ? -big : big, type)
  return grouped(signOf(big < 0n, specification.sign) + prefix, digits, specification, isBinary ? 4 : 3)
}

/** An int as a float. */
export function finite(value: number | bigint): number {
  const number = Number(value)
  if (typeof value === 'bigint' && !Number.isFinite(number)) {
    throw new OperationError('OverflowError', 'int too large to convert to float')
  }
  return number
}

function formatCharacter(value: number | bigint, specification: Specification): string {
  if (specification.sign) throw valueError(`Sign not allowed with integer format specifier 'c'`)
  if (specification.isAlternate) throw valueError(`Alternate form (#) not allowed with integer format specifier 'c'`)
  if (specification.grouping) throw valueError(`Cannot specify '${specification.grouping}' with 'c'.`)
  return aligned('', characterOf(value), specification, '>')
}

export function characterOf(value: number | bigint): string {
  if (value < 0 || value > 0x10ffff) throw new OperationError('OverflowError', '%c arg not in range(0x110000)')
  if (value >= 0xd800 && value <= 0xdfff) throw notSupported('A lone surrogate is no character.')
  return String.fromCodePoint(Number(value))
}

function signOf(isNegative: boolean, sign: string): string {
  return isNegative ? '-' : sign === '-' ? '' : sign
}

/** Puts separators into the whole part; zeros that fill the width get them, too. */
function grouped(sign: string, digits: string, specification: Specification, size: number): string {
  const { grouping, width, fill, align } = specification
  if (!grouping || !/^[0-9a-fA-F]/.test(digits)) return aligned(sign, digits, specification, '>')
  const end = wholeEnd(digits, size)
  let whole = digits.slice(0, end)
  const rest = digits.slice(end)
  if (fill === '0' && align === '=') {
    const room = width - sign.length - rest.length
    // The fewest digits that fill the room together with their separators: one of these never comes first.
    let count = Math.max(1, Math.ceil((room * size) / (size + 1)))
    if (count + Math.floor((count - 1) / size) < room) count += 1
    whole = whole.padStart(count, '0')
  }
  const groups: string[] = []
  for (let at = whole.length; at > 0; at -= size) groups.unshift(whole.slice(Math.max(0, at - size), at))
  return aligned(sign, groups.join(grouping) + rest, specification, '>')
}

function wholeEnd(digits: string, size: number): number {
  if (size === 4) return digits.length
  const end = digits.search(/[^0-9]/)
  return end === -1 ? digits.length : end
}

function aligned(sign: string, body: string, { fill, align, width }: Specification, usual: string): string {
  const missing = width - lengthOfText(body) - sign.length
  if (missing <= 0) return sign + body
  const side = align || usual
  if (side === '=') return sign + fill.repeat(missing) + body
  if (side === '<') return sign + body + fill.repeat(missing)
  if (side === '>') return fill.repeat(missing) + sign + body
  const left = Math.floor(missing / 2)
  return fill.repeat(left) + sign + body + fill.repeat(missing - left)
}
