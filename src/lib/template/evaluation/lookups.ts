import { notSupported, typeError, undefinedError, valueError } from '../values/arguments.js'
import { reprFor } from '../values/iteration.js'
import { methodOf } from '../values/methods.js'
import type { Context } from '../values/operations.js'
import { isPlain, lengthOfText, reverseText, sliceText, characterAt as textItem } from '../values/python-text.js'
import {
  Attributes,
  Callable,
  Dict,
  isInt,
  isList,
  isNumber,
  Macro,
  Markup,
  NamedTuple,
  numberOf,
  Range,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from '../values/values.js'

/** `x.name`: an attribute, which is mostly a method, and else an item. */
export function attribute(context: Context, value: Value, name: string): Value {
  const found = ownAttribute(context, value, name)
  if (found !== undefined) return found
  const item = value instanceof Dict ? value.find(name) : undefined
  if (item !== undefined) return item
  return absentAttribute(value, name)
}

/** `x[key]`: an item, and else an attribute. */
export function item(context: Context, value: Value, key: Value): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  const found = ownItem(context, value, key)
  if (found !== undefined) return found
  const name = textOf(key)
  if (name === null) return new Undefined(`${objectName(value)} has no element ${shortRepr(context, key)}`)
  const own = ownAttribute(context, value, name)
  return own === undefined ? absentAttribute(value, name) : own
}

function ownAttribute(context: Context, value: Value, name: string): Value | undefined {
  if (value instanceof Undefined) throw undefinedError(value)
  const found = value instanceof Attributes || value instanceof Macro ? value.get(name) : undefined
  const named = value instanceof NamedTuple ? value.named(name) : found
  if (named !== undefined) return named
  const method = methodOf(context, value, name)
  return method ? new Callable('builtin_function_or_method', method) : undefined
}

/** Attributes of Python's numbers that are no methods: an empty text in their place would be wrong. */
const numberAttributes = new Set(['real', 'imag', 'numerator', 'denominator'])

function absentAttribute(value: Value, name: string): Undefined {
  const isPythons = (isNumber(value) || typeof value === 'boolean') && numberAttributes.has(name)
  if (isPythons || (name.startsWith('__') && name.endsWith('__') && name.length > 4)) {
    throw notSupported(`The attribute "${name.slice(0, 40)}" of ${typeName(value)} is not supported.`)
  }
  return new Undefined(`'${objectName(value)}' has no attribute '${name.slice(0, 200)}'`)
}

const jinjaNames = new Map([
  ['LoopContext', 'jinja2.runtime.LoopContext'],
  ['Namespace', 'jinja2.utils.Namespace'],
  ['Cycler', 'jinja2.utils.Cycler'],
  ['Joiner', 'jinja2.utils.Joiner'],
  ['Macro', 'jinja2.runtime.Macro'],
  ['TemplateReference', 'jinja2.runtime.TemplateReference'],
  ['BlockReference', 'jinja2.runtime.BlockReference'],
  ['TemplateModule', 'jinja2.environment.TemplateModule'],
])

function objectName(value: Value): string {
  if (value === null) return 'None'
  const name = typeName(value).split(' ')[0] ?? ''
  return `${jinjaNames.get(name) ?? name} object`
}

function shortRepr(context: Context, key: Value): string {
  return reprFor(context, key).slice(0, 200)
}

function ownItem(context: Context, value: Value, key: Value): Value | undefined {
  // Jinja2 takes a key that cannot be one for an absent one.
  if (value instanceof Dict) return value.find(key)
  const index = indexOf(key)
  if (index === undefined) return undefined
  if (isList(value)) return value[index < 0 ? index + value.length : index]
  if (value instanceof Tuple || value instanceof Range) return value.items[index < 0 ? index + value.items.length : index]
  const text = textOf(value)
  if (text === null) return undefined
  const character = characterAt(context, text, index)
  return value instanceof Markup && character !== undefined ? new Markup(character) : character
}

function indexOf(key: Value): number | undefined {
  if (!isInt(key) && typeof key !== 'boolean') return undefined
  return Number(numberOf(key))
}

function characterAt(context: Context, text: string, index: number): string | undefined {
  context.budget.step(1 + Math.floor(text.length / 64))
  return textItem(text, index)
}

/** `x[start:stop:step]` of a text, by code points, a list or a tuple. */
export function slice(context: Context, value: Value, start: Value, stop: Value, step: Value): Value {
  if (value instanceof Undefined) throw undefinedError(value)
  const text = textOf(value)
  if (text !== null) {
    const picks = slicedText(context, text, start, stop, step)
    return value instanceof Markup ? new Markup(picks) : picks
  }
  if (value instanceof Dict) throw typeError("unhashable type: 'slice'")
  const items = isList(value) ? value : value instanceof Tuple || value instanceof Range ? value.items : null
  if (!items) throw typeError(`'${typeName(value)}' object is not subscriptable`)
  const [from, to, by] = bounds(items.length, start, stop, step)
  if (value instanceof Range) {
    context.budget.step(items.length)
    return value.part(from, to, by)
  }
  const picks = picked(items, from, to, by)
  context.budget.step(picks.length)
  return value instanceof Tuple ? new Tuple(picks) : picks
}

function slicedText(context: Context, text: string, start: Value, stop: Value, step: Value): string {
  context.budget.characters(text.length)
  const [from, to, by] = bounds(lengthOfText(text), start, stop, step)
  if (by === 1) return sliceText(text, from, Math.max(from, to))
  context.budget.characters(text.length)
  if (by === -1) return reverseText(sliceText(text, to + 1, Math.max(to, from) + 1))
  context.budget.characters(costOfPicking * text.length)
  return picked(isPlain(text) ? text : Array.from(text), from, to, by).join('')
}

/** What picking every so many characters takes, in characters that are copied. */
const costOfPicking = 8

function picked<Item>(items: ArrayLike<Item>, from: number, to: number, by: number): Item[] {
  const picks: Item[] = []
  for (let index = from; by > 0 ? index < to : index > to; index += by) picks.push(items[index] as Item)
  return picks
}

function bounds(length: number, start: Value, stop: Value, step: Value): [from: number, to: number, by: number] {
  const by = part(step) ?? 1
  if (by === 0) throw valueError('slice step cannot be zero')
  const [least, most] = by > 0 ? [0, length] : [-1, length - 1]
  const clamp = (index: number | undefined, otherwise: number) =>
    index === undefined ? otherwise : Math.min(Math.max(index < 0 ? index + length : index, least), most)
  return [clamp(part(start), by > 0 ? least : most), clamp(part(stop), by > 0 ? most : least), by]
}

function part(value: Value): number | undefined {
  if (value === null) return undefined
  const index = indexOf(value)
  if (index === undefined) throw typeError('slice indices must be integers or None or have an __index__ method')
  return index
}
