import { toText, valueError } from './arguments.js'
import { scan } from './iteration.js'
import type { Context } from './operations.js'
import { isPlain, splitWords, splitWordsFromEnd } from './python-text.js'
import { occurrences, occurrencesFromEnd } from './text-search.js'
import type { Value } from './values.js'

/** Taking texts apart and putting them together, as methods and filters do. */

/** `split` and `rsplit`: at white space where there is no separator. */
export function splitText(context: Context, text: string, separator: Value, limit: number, isFromEnd: boolean): string[] {
  const pay = () => context.budget.step()
  if (separator === null) return isFromEnd ? splitWordsFromEnd(text, limit, pay) : splitWords(text, limit, pay)
  const needle = toText(separator, 'must be str or None')
  if (needle === '') throw valueError('empty separator')
  const isLimited = limit !== Number.POSITIVE_INFINITY
  const parts = isFromEnd && isLimited ? splitFromEnd(context, text, needle, limit) : splitAt(context, text, needle, limit)
  context.budget.step(Math.ceil((3 * parts.length) / 4))
  return parts
}

function splitAt(context: Context, text: string, needle: string, limit: number): string[] {
  const parts: string[] = []
  let start = 0
  for (const at of occurrences(context, text, needle, limit)) {
    parts.push(text.slice(start, at))
    start = at + needle.length
  }
  parts.push(text.slice(start))
  return parts
}

function splitFromEnd(context: Context, text: string, needle: string, limit: number): string[] {
  const parts: string[] = []
  let end = text.length
  for (const at of occurrencesFromEnd(context, text, needle, limit)) {
    parts.push(text.slice(at + needle.length, end))
    end = at
  }
  parts.push(text.slice(0, end))
  return parts.reverse()
}

export function replaceText(context: Context, text: string, old: string, replacement: string, limit: number): string {
  scan(context, text)
  if (limit === 0) return text
  const parts = old === '' ? splitCharacters(context, text, limit) : splitAt(context, text, old, limit)
  context.budget.characters(text.length + (parts.length - 1) * Math.max(0, replacement.length - old.length))
  return parts.join(replacement)
}

/** Nothing is before, between and behind all characters. */
function splitCharacters(context: Context, text: string, limit: number): string[] {
  context.budget.step(text.length)
  const characters = isPlain(text) ? text.split('') : Array.from(text)
  if (limit > characters.length) return ['', ...characters, '']
  return ['', ...characters.slice(0, limit - 1), characters.slice(limit - 1).join('')]
}

export function joinTexts(context: Context, texts: readonly string[], separator: string): string {
  const length = texts.reduce((sum, text) => sum + text.length, separator.length * Math.max(0, texts.length - 1))
  context.budget.characters(length)
  return texts.join(separator)
}
