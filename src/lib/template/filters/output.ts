import { bind, flag, notSupported, typeError, undefinedError, valueError } from '../values/arguments.js'
import { isIterable, textFor, toIterable } from '../values/iteration.js'
import { escaped, escapeText, marked } from '../values/markup.js'
import type { Arguments, Context, Filter } from '../values/operations.js'
import { spaceClass } from '../values/python-case.js'
import { strip, substituted } from '../values/python-text.js'
import { Dict, isTruthy, Markup, OperationError, repr, textOf, typeName, Undefined, type Value } from '../values/values.js'
import { unescapeHtml } from './html-entities.js'
import { indentationOf, toJson } from './json-output.js'
import { prettyPrint } from './pretty-print.js'

/** Filters that write values for something else to read: HTML, JSON, addresses, people. */

const escapeFilter: Filter = (context, value, given) => {
  bind('escape', given, [])
  return marked(context, value)
}

function forceEscape(context: Context, value: Value, given: Arguments): Value {
  bind('forceescape', given, [])
  return new Markup(escapeText(context, textFor(context, value)))
}

function safe(context: Context, value: Value, given: Arguments): Value {
  bind('safe', given, [])
  return new Markup(textFor(context, value))
}

function toJsonFilter(context: Context, value: Value, given: Arguments): Value {
  const [indent = null] = bind('tojson', given, ['indent'])
  return new Markup(toJson(context, value, indentationOf(indent)))
}

function pprint(context: Context, value: Value, given: Arguments): Value {
  bind('pprint', given, [])
  return prettyPrint(context, value)
}

function quoteUrl(context: Context, value: Value, isQuery: boolean): string {
  const text = textFor(context, value)
  context.budget.characters(3 * text.length)
  const quoted = unquoted.reduce((made, [character, code]) => substituted(made, character, code), encoded(text))
  context.budget.characters(Math.max(0, quoted.length - text.length))
  return isQuery ? substituted(quoted, '%20', '+') : substituted(quoted, '%2F', '/')
}

/** What Python quotes and JavaScript does not. */
const unquoted = [
  ['!', '%21'],
  ["'", '%27'],
  ['(', '%28'],
  [')', '%29'],
  ['*', '%2A'],
] as const

function encoded(text: string): string {
  try {
    return encodeURIComponent(text)
  } catch {
    throw new OperationError('UnicodeEncodeError', "'utf-8' codec can't encode a lone surrogate")
  }
}

function urlencode(context: Context, value: Value, given: Arguments): Value {
  bind('urlencode', given, [])
  if (textOf(value) !== null || !isIterable(value)) return quoteUrl(context, value, false)
  const pairs =
    value instanceof Dict ? Array.from(value.entries()) : toIterable(context, value).map((item) => pairOf(context, item))
  context.budget.step(pairs.length)
  return pairs.map(([key, item]) => `${quoteUrl(context, key, true)}=${quoteUrl(context, item, true)}`).join('&')
}

function pairOf(context: Context, value: Value): [Value, Value] {
  if (!isIterable(value)) throw typeError(`cannot unpack non-iterable ${typeName(value)} object`)
  const [key, item, ...others] = toIterable(context, value)
  if (key === undefined || item === undefined) throw valueError('not enough values to unpack (expected 2)')
  if (others.length > 0) throw valueError('too many values to unpack (expected 2)')
  return [key, item]
}

function xmlattr(context: Context, value: Value, given: Arguments): Value {
  const [autospace = true] = bind('xmlattr', given, ['autospace'])
  if (value instanceof Undefined) throw undefinedError(value)
  if (!(value instanceof Dict)) throw new OperationError('AttributeError', `'${typeName(value)}' object has no attribute 'items'`)
  const attributes: string[] = []
  for (const [key, item] of value.entries()) {
    context.budget.step()
    if (item === null || item instanceof Undefined) continue
    const name = textOf(key)
    if (name === null) throw typeError(`expected string or bytes-like object, got '${typeName(key)}'`)
    if (/[\t\n\v\f\r />=]/.test(name)) throw valueError(`Invalid character in attribute name: ${repr(key)}`)
    attributes.push(`${escaped(context, key)}="${escaped(context, item)}"`)
  }
  const text = attributes.join(' ')
  return flag(autospace) && isTruthy(text) ? ` ${text}` : text
}

function striptags(context: Context, value: Value, given: Arguments): Value {
  bind('striptags', given, [])
  const text = textFor(context, value)
  context.budget.characters(4 * text.length)
  const words = withoutTags(context, text).replace(spaces, ' ')
  return unescapeHtml(context, strip(words, 'both', null))
}

const spaces = new RegExp(`[${spaceClass}]+`, 'gu')

/** A tag or comment that is not closed ends the search. */
function withoutTags(context: Context, text: string): string {
  const parts: string[] = []
  let from = 0
  for (let start = text.indexOf('<'); start !== -1; start = text.indexOf('<', from)) {
    const isComment = text.startsWith('<!--', start)
    const end = isComment ? text.indexOf('-->', start + 4) : text.indexOf('>', start)
    if (end === -1) break
    context.budget.step()
    parts.push(text.slice(from, start))
    from = end + (isComment ? 3 : 1)
  }
  return parts.join('') + text.slice(from)
}

function urlize(): Value {
  throw notSupported('The filter "urlize" is not supported. Write the links in the template.')
}

export const outputFilters: readonly (readonly [string, Filter])[] = [
  ['escape', escapeFilter],
  ['e', escapeFilter],
  ['forceescape', forceEscape],
  ['pprint', pprint],
  ['safe', safe],
  ['striptags', striptags],
  ['tojson', toJsonFilter],
  ['urlencode', urlencode],
  ['urlize', urlize],
  ['xmlattr', xmlattr],
]
