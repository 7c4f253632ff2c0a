import { bind, flag, notSupported, toIndex, toText, typeError, undefinedError, valueError } from '../values/arguments.js'
import { lengthOf, textFor } from '../values/iteration.js'
import { like } from '../values/markup.js'
import type { Arguments, Context, Filter } from '../values/operations.js'
import * as cases from '../values/python-case.js'
import { percentFormat } from '../values/python-format.js'
import { sliceText, splitLines } from '../values/python-text.js'
import { contentOf, leftOfCentered, pad, stripText, type Text, textMethods } from '../values/text-methods.js'
import { joinTexts, replaceText } from '../values/text-parts.js'
import { Dict, isList, Markup, OperationError, Tuple, textOf, typeName, Undefined, type Value } from '../values/values.js'
import { filterArgumentError } from './lists.js'
import { type WrapOptions, wrap } from './word-wrap.js'

/** A text or markup as it is, anything else as its text. */
function soft(context: Context, value: Value): Text {
  return value instanceof Markup ? value : textFor(context, value)
}

const throughMethod =
  (name: string): Filter =>
  (context, value, given) => {
    bind(name, given, [])
    return textMethods.get(name)?.(context, soft(context, value), { args: [], kwargs: new Map() }) ?? null
  }

function title(context: Context, value: Value, given: Arguments): Value {
  bind('title', given, [])
  const text = contentOf(soft(context, value))
  context.budget.characters(2 * text.length)
  return text.replace(titleWord, (word) => {
    context.budget.characters(costOfWord)
    const first = String.fromCodePoint(word.codePointAt(0) ?? 0)
    return first.toUpperCase() + word.slice(first.length).toLowerCase()
  })
}

const titleWord = new RegExp(`[^\\-({[<${cases.spaceClass}]+`, 'gu')
/** What a word takes, in characters that are copied. */
const costOfWord = 16

function trim(context: Context, value: Value, given: Arguments): Value {
  const [characters = null] = bind('trim', given, ['chars'])
  return stripText(context, soft(context, value), 'both', characters, 'strip')
}

function replace(context: Context, value: Value, given: Arguments): Value {
  const [old = '', replacement = '', count = null] = bind('replace', given, ['old', 'new', 'count'], 2)
  const limit = count === null ? -1 : toIndex(count)
  const text = (part: Value) => textFor(context, part)
  return replaceText(context, text(value), text(old), text(replacement), limit < 0 ? Number.POSITIVE_INFINITY : limit)
}

function center(context: Context, value: Value, given: Arguments): Value {
  const [width = 80] = bind('center', given, ['width'])
  return pad(context, soft(context, value), toIndex(width), ' ', leftOfCentered)
}

function indent(context: Context, value: Value, given: Arguments): Value {
  const [width = 4, first, blank] = bind('indent', given, ['width', 'first', 'blank'])
  if (value instanceof Undefined) throw undefinedError(value)
  const text = textOf(value)
  if (isList(value)) throw noAttribute(value, 'splitlines')
  if (text === null) throw typeError(`unsupported operand type(s) for +=: '${typeName(value)}' and 'str'`)
  if (width instanceof Markup && !(value instanceof Markup)) {
    throw notSupported('An indentation that is marked safe is not supported for a text that is not.')
  }
  const indention = textOf(width) ?? spaces(context, toIndex(width))
  context.budget.characters(text.length)
  const lines = splitLines(`${text}\n`, () => context.budget.step())
  context.budget.characters(text.length + lines.length * (indention.length + 1))
  const indented = lines.map((line, index) => (index > 0 && (flag(blank) || line !== '') ? indention + line : line))
  return like(value as Text, (flag(first) ? indention : '') + indented.join('\n'))
}

function spaces(context: Context, count: number): string {
  context.budget.characters(Math.max(0, count))
  return ' '.repeat(Math.max(0, count))
}

function noAttribute(value: Value, name: string): OperationError {
  return new OperationError('AttributeError', `'${typeName(value)}' object has no attribute '${name}'`)
}

function truncate(context: Context, value: Value, given: Arguments): Value {
  const names = ['length', 'killwords', 'end', 'leeway']
  const [length = 255, killsWords, end = '...', leeway = null] = bind('truncate', given, names)
  const [most, margin, endLength] = [toIndex(length), leeway === null ? 5 : toIndex(leeway), lengthOf(context, end)]
  if (most < endLength) throw assertion(`expected length >= ${endLength}, got ${most}`)
  if (margin < 0) throw assertion(`expected leeway >= 0, got ${margin}`)
  if (lengthOf(context, value) <= most + margin) return value
  const text = textOf(value)
  if (text === null) throw noAttribute(value, 'rsplit')
  const ending = toText(end, 'can only concatenate str to str')
  const start = sliceText(text, 0, most - endLength)
  context.budget.characters(start.length + ending.length)
  const space = flag(killsWords) ? -1 : start.lastIndexOf(' ')
  if (end instanceof Markup || value instanceof Markup) refuseMixed(value, end)
  return like(value as Text, (space === -1 ? start : start.slice(0, space)) + ending)
}

/** A text that meets markup is escaped; what is all markup, or has nothing to escape, needs no care. */
function refuseMixed(value: Value, end: Value): void {
  const plain = [value, end].filter((part) => !(part instanceof Markup)).map((part) => textOf(part) ?? '')
  if (!(value instanceof Markup) || plain.some((text) => /[&<>"']/.test(text))) {
    throw notSupported('Truncating with a text that is marked safe and one that is not is not supported.')
  }
}

function assertion(message: string): OperationError {
  return new OperationError('AssertionError', message)
}

function wordwrap(context: Context, value: Value, given: Arguments): Value {
  const names = ['width', 'break_long_words', 'wrapstring', 'break_on_hyphens']
  const [width = 79, breaksLongWords = true, separator = null, breaksOnHyphens = true] = bind('wordwrap', given, names)
  if (value instanceof Undefined) throw undefinedError(value)
  const text = textOf(value)
  if (text === null) throw noAttribute(value, 'splitlines')
  const options: WrapOptions = {
    width: toIndex(width),
    breaksLongWords: flag(breaksLongWords),
    breaksOnHyphens: flag(breaksOnHyphens),
  }
  if (separator instanceof Markup) throw notSupported('A wrapstring that is marked safe is not supported.')
  const ending = separator === null ? '\n' : toText(separator, 'wrapstring must be str')
  context.budget.characters(text.length)
  const paragraphs = splitLines(text, () => context.budget.step())
  if (options.width <= 0 && paragraphs.length > 0) throw valueError(`invalid width ${options.width} (must be > 0)`)
  const wrapped = paragraphs.map((line) => joinTexts(context, wrap(context, line, options), ending))
  return joinTexts(context, wrapped, ending)
}

function wordcount(context: Context, value: Value, given: Arguments): Value {
  bind('wordcount', given, [])
  const text = contentOf(soft(context, value))
  context.budget.characters(2 * text.length)
  let count = 0
  const words = cases.words()
  while (words.test(text)) {
    context.budget.characters(costOfWord)
    count += 1
  }
  return count
}

function format(context: Context, value: Value, { args, kwargs }: Arguments): Value {
  if (args.length > 0 && kwargs.size > 0) {
    throw filterArgumentError("can't handle positional and keyword arguments at the same time")
  }
  return percentFormat(context, soft(context, value), kwargs.size > 0 ? Dict.from(kwargs) : new Tuple(args))
}

function string(context: Context, value: Value, given: Arguments): Value {
  bind('string', given, [])
  return soft(context, value)
}

export const textFilters: readonly (readonly [string, Filter])[] = [
  ['capitalize', throughMethod('capitalize')],
  ['center', center],
  ['format', format],
  ['indent', indent],
  ['lower', throughMethod('lower')],
  ['replace', replace],
  ['string', string],
  ['title', title],
  ['trim', trim],
  ['truncate', truncate],
  ['upper', throughMethod('upper')],
  ['wordcount', wordcount],
  ['wordwrap', wordwrap],
]
