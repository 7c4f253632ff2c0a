import { asSwitch, bind, positional, toIndex, toText, typeError, valueError } from './arguments.js'
import { payForEach, scan, toIterable } from './iteration.js'
import { escaped, like } from './markup.js'
import type { Arguments, Context } from './operations.js'
import * as cases from './python-case.js'
import { isPrintable } from './python-literals.js'
import { lengthOfText, type Side, sliceText, splitLines, strip, toCodePointIndex } from './python-text.js'
import { formatFields } from './string-format.js'
import { joinTexts, replaceText, splitText } from './text-parts.js'
import { findLastText, findText, occurrences } from './text-search.js'
import { Dict, Markup, Tuple, textOf, type Value } from './values.js'

export type Text = string | Markup
type TextMethod = (context: Context, self: Text, given: Arguments) => Value

export const contentOf = (text: Text) => (typeof text === 'string' ? text : text.text)

type Pay = (context: Context, text: string) => void

/** For what the engine does fast. */
const payForAll: Pay = ({ budget }, text) => budget.characters(text.length)

/** The engine maps what is not ASCII slower. */
const payForMapping: Pay = ({ budget }, text) => budget.characters((/[^\0-\x7f]/.test(text) ? 3 : 1) * text.length)

/** For what looks up each character in many ranges. */
const payForClasses: Pay = ({ budget }, text) => budget.characters(4 * text.length)

/** A text from a text, of at most three times the length: what case mappings can make of it. */
const mapped =
  (name: string, map: (text: string) => string, pay = payForAll): TextMethod =>
  (context, self, given) => {
    positional(name, given, 0)
    const text = contentOf(self)
    pay(context, text)
    const result = map(text)
    context.budget.characters(Math.max(0, result.length - text.length))
    return like(self, result)
  }

const stripped =
  (name: string, side: Side): TextMethod =>
  (context, self, given) => {
    const [characters = null] = positional(name, given, 1)
    return stripText(context, self, side, characters, name)
  }

export function stripText(context: Context, self: Text, side: Side, characters: Value, name: string): Text {
  const text = contentOf(self)
  context.budget.characters(text.length)
  const set = characters === null ? null : toText(characters, `${name} arg must be None or str`)
  if (set !== null) context.budget.characters(8 * set.length + 4 * text.length)
  return like(self, strip(text, side, set))
}

/** Whether something holds of a text. */
const being =
  (name: string, holds: (text: string) => boolean, pay = payForAll): TextMethod =>
  (context, self, given) => {
    positional(name, given, 0)
    pay(context, contentOf(self))
    return holds(contentOf(self))
  }

const padded =
  (name: string, leftOf: (missing: number, width: number) => number): TextMethod =>
  (context, self, given) => {
    const [width = 0, fill = ' '] = positional(name, given, 2, 1)
    const filling =
      self instanceof Markup ? escaped(context, fill) : toText(fill, 'The fill character must be a unicode character')
    if (lengthOfText(filling) !== 1) throw typeError('The fill character must be exactly one character long')
    return pad(context, self, toIndex(width), filling, leftOf)
  }

export function pad(
  context: Context,
  self: Text,
  width: number,
  fill: string,
  leftOf: (missing: number, width: number) => number,
): Text {
  const text = contentOf(self)
  scan(context, text)
  const missing = width - lengthOfText(text)
  if (missing <= 0) return self
  context.budget.characters(width)
  const left = leftOf(missing, width)
  return like(self, fill.repeat(left) + text + fill.repeat(missing - left))
}

/** Python gives the odd one to the left where the width is odd. */
export function leftOfCentered(missing: number, width: number): number {
  return Math.floor(missing / 2) + (missing % 2 === 1 && width % 2 === 1 ? 1 : 0)
}

/** `find` and its kind look at a part of the text, given by code points. */
function rangeOf(
  context: Context,
  text: string,
  given: Arguments,
  name: string,
): { needle: string; part: string; from: number } | null {
  const [wanted = '', start, end] = positional(name, given, 3, 1)
  const needle = toText(wanted, 'must be str')
  return { needle, ...partOf(context, text, start, end) }
}

function partOf(
  context: Context,
  text: string,
  start: Value | undefined,
  end: Value | undefined,
): { part: string; from: number } {
  scan(context, text)
  if ((start ?? null) === null && (end ?? null) === null) return { part: text, from: 0 }
  const length = lengthOfText(text)
  const bound = (value: Value | undefined, usual: number) => {
    const index = value === undefined || value === null ? usual : toIndex(value)
    return index < 0 ? Math.max(0, index + length) : index
  }
  const [from, to] = [bound(start, 0), Math.min(length, bound(end, length))]
  // Nothing is found behind the end, not even the empty text.
  return from > to ? { part: '', from: Number.NaN } : { part: sliceText(text, from, to), from }
}

const found =
  (name: string, search: typeof findLastText, isRequired: boolean): TextMethod =>
  (context, self, given) => {
    const range = rangeOf(context, contentOf(self), given, name)
    const at = range && !Number.isNaN(range.from) ? search(context, range.part, range.needle) : -1
    if (range && at !== -1) return range.from + toCodePointIndex(range.part, at)
    if (isRequired) throw valueError('substring not found')
    return -1
  }

function count(context: Context, self: Text, given: Arguments): Value {
  const range = rangeOf(context, contentOf(self), given, 'count')
  if (!range || Number.isNaN(range.from)) return 0
  if (range.needle === '') return lengthOfText(range.part) + 1
  return occurrences(context, range.part, range.needle, Number.POSITIVE_INFINITY).length
}

const edged =
  (name: string, isEdge: (text: string, edge: string) => boolean): TextMethod =>
  (context, self, given) => {
    const [wanted = '', start, end] = positional(name, given, 3, 1)
    const edges = wanted instanceof Tuple ? wanted.items : [wanted]
    const texts = edges.map((edge) => toText(edge, `${name} first arg must be str or a tuple of str`))
    const { part, from } = partOf(context, contentOf(self), start, end)
    return !Number.isNaN(from) && texts.some((edge) => isEdge(part, edge))
  }

function limitOf(value: Value | undefined): number {
  const limit = value === undefined ? -1 : toIndex(value)
  return limit < 0 ? Number.POSITIVE_INFINITY : limit
}

const split =
  (name: 'split' | 'rsplit'): TextMethod =>
  (context, self, given) => {
    const [separator = null, limit] = bind(name, given, ['sep', 'maxsplit'])
    const text = contentOf(self)
    context.budget.characters(text.length)
    const parts = splitText(context, text, separator, limitOf(limit), name === 'rsplit')
    return parts.map((part) => like(self, part))
  }

function replace(context: Context, self: Text, given: Arguments): Value {
  const [old = '', replacement = '', limit] = positional('replace', given, 3, 2)
  const text = self instanceof Markup ? escaped(context, replacement) : toText(replacement, 'replace() argument 2 must be str')
  return like(self, replaceText(context, contentOf(self), toText(old, 'replace() argument 1 must be str'), text, limitOf(limit)))
}

function join(context: Context, self: Text, given: Arguments): Value {
  const [items = null] = positional('join', given, 1, 1)
  const texts = toIterable(context, items).map((item, index) => {
    if (self instanceof Markup) return escaped(context, item)
    return toText(item, `sequence item ${index}: expected str instance`).toString()
  })
  return like(self, joinTexts(context, texts, contentOf(self)))
}

const partition =
  (name: 'partition' | 'rpartition'): TextMethod =>
  (context, self, given) => {
    const [separator = ''] = positional(name, given, 1, 1)
    const [text, needle] = [contentOf(self), toText(separator)]
    if (needle === '') throw valueError('empty separator')
    context.budget.characters(text.length)
    const at = name === 'partition' ? findText(context, text, needle) : findLastText(context, text, needle)
    const missing = name === 'partition' ? [text, '', ''] : ['', '', text]
    const parts = at === -1 ? missing : [text.slice(0, at), needle, text.slice(at + needle.length)]
    return new Tuple(parts.map((part) => like(self, part)))
  }

const withoutEdge =
  (name: 'removeprefix' | 'removesuffix'): TextMethod =>
  (context, self, given) => {
    const [edge = ''] = positional(name, given, 1, 1)
    const [text, part] = [contentOf(self), toText(edge, `${name}() argument must be str`)]
    context.budget.characters(text.length)
    if (part === '') return self
    if (name === 'removeprefix') return like(self, text.startsWith(part) ? text.slice(part.length) : text)
    return like(self, text.endsWith(part) ? text.slice(0, -part.length) : text)
  }

function zfill(context: Context, self: Text, given: Arguments): Value {
  const [width = 0] = positional('zfill', given, 1, 1)
  const text = contentOf(self)
  scan(context, text)
  const sign = text.startsWith('-') || text.startsWith('+') ? text.slice(0, 1) : ''
  const missing = toIndex(width) - lengthOfText(text)
  if (missing <= 0) return self
  context.budget.characters(missing + text.length)
  return like(self, sign + '0'.repeat(missing) + text.slice(sign.length))
}

function expandTabs(context: Context, self: Text, given: Arguments): Value {
  const [size = 8] = bind('expandtabs', given, ['tabsize'])
  const width = toIndex(size)
  const text = contentOf(self)
  context.budget.characters(text.length)
  const special = /[\t\n\r]/g
  let result = ''
  let start = 0
  let column = 0
  for (let found = special.exec(text); found; found = special.exec(text)) {
    const part = text.slice(start, found.index)
    column += lengthOfText(part)
    const spaces = found[0] === '\t' && width > 0 ? width - (column % width) : 0
    context.budget.characters(costOfPart + spaces)
    result += part + (found[0] === '\t' ? ' '.repeat(spaces) : found[0])
    column = found[0] === '\t' ? column + spaces : 0
    start = special.lastIndex
  }
  return like(self, result + text.slice(start))
}

function lines(context: Context, self: Text, given: Arguments): Value {
  const [keepsEnds] = bind('splitlines', given, ['keepends'])
  const text = contentOf(self)
  context.budget.characters(text.length)
  const parts = splitLines(text, () => context.budget.step(), asSwitch(keepsEnds))
  return parts.map((part) => like(self, part))
}

function formatMap(context: Context, self: Text, given: Arguments): Value {
  const [fields = null] = positional('format_map', given, 1, 1)
  if (!(fields instanceof Dict)) throw typeError('format_map() takes a mapping')
  const named = Array.from(fields.entries(), ([key, value]) => [textOf(key) ?? '', value] as const)
  return formatFields(context, self, { args: [], kwargs: new Map(named) })
}

/** What making a part of a text takes, in characters that are copied. */
const costOfPart = 8

const identifier = /^[\p{XID_Start}_]\p{XID_Continue}*$/u

export const textMethods: ReadonlyMap<string, TextMethod> = new Map<string, TextMethod>([
  ['upper', mapped('upper', (text) => text.toUpperCase(), payForMapping)],
  ['lower', mapped('lower', (text) => text.toLowerCase(), payForMapping)],
  ['capitalize', mapped('capitalize', cases.capitalize, payForMapping)],
  ['title', mapped('title', cases.title, payForEach)],
  ['swapcase', mapped('swapcase', cases.swapCase, payForEach)],
  ['casefold', mapped('casefold', cases.caseFold, payForEach)],
  ['strip', stripped('strip', 'both')],
  ['lstrip', stripped('lstrip', 'left')],
  ['rstrip', stripped('rstrip', 'right')],
  ['split', split('split')],
  ['rsplit', split('rsplit')],
  ['splitlines', lines],
  ['replace', replace],
  ['join', join],
  ['format', (context, self, given) => formatFields(context, self, given)],
  ['format_map', formatMap],
  ['startswith', edged('startswith', (text, edge) => text.startsWith(edge))],
  ['endswith', edged('endswith', (text, edge) => text.endsWith(edge))],
  ['find', found('find', findText, false)],
  ['rfind', found('rfind', findLastText, false)],
  ['index', found('index', findText, true)],
  ['rindex', found('rindex', findLastText, true)],
  ['count', count],
  ['isalpha', being('isalpha', cases.isAlphabetic, payForClasses)],
  ['isdigit', being('isdigit', cases.isDigit, payForClasses)],
  ['isdecimal', being('isdecimal', cases.isDecimal, payForClasses)],
  ['isnumeric', being('isnumeric', cases.isNumeric, payForClasses)],
  ['isalnum', being('isalnum', cases.isAlphanumeric, payForClasses)],
  ['isspace', being('isspace', cases.isAllSpace)],
  ['islower', being('islower', cases.isAllLower, payForClasses)],
  ['isupper', being('isupper', cases.isAllUpper, payForClasses)],
  ['istitle', being('istitle', cases.isTitle, payForEach)],
  ['isprintable', being('isprintable', isPrintable, payForClasses)],
  ['isascii', being('isascii', (text) => !/[^\0-\x7f]/.test(text))],
  ['isidentifier', being('isidentifier', (text) => identifier.test(text), payForClasses)],
  ['zfill', zfill],
  ['center', padded('center', leftOfCentered)],
  ['ljust', padded('ljust', () => 0)],
  ['rjust', padded('rjust', (missing) => missing)],
  ['partition', partition('partition')],
  ['rpartition', partition('rpartition')],
  ['removeprefix', withoutEdge('removeprefix')],
  ['removesuffix', withoutEdge('removesuffix')],
  ['expandtabs', expandTabs],
])
