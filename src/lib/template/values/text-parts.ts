import { toText, valueError } from './arguments.js'
import { scan } from './iteration.js'
import type { Context } from './operations.js'
import { isPlain, occurrences, splitWords, splitWordsFromEnd } from './python-text.js'
import type { Value } from './values.js'

/** Taking texts apart and putting them together, as methods and filters do. */

/** `split` and `rsplit`: at white space where there is no separator. */
export function splitText(text: string, separator: Value, limit: number, isFromEnd: boolean): string[] {
  if (separator === null) return isFromEnd ? splitWordsFromEnd(text, limit) : splitWords(text, limit)
  const needle = toText(separator, 'must be str or None')
  if (needle === '') throw valueError('empty separator')
  return isFromEnd && limit !== Number.POSITIVE_INFINITY ? splitFromEnd(text, needle, limit) : splitAt(text, needle, limit)
}

function splitAt(text: string, needle: string, limit: number): string[] {
  const parts: string[] = []
  let start = 0
  for (const at of occurrences(text, needle, limit)) {
    parts.push(text.slice(start, at))
    start = at + needle.length
  }
  return [...parts, text.slice(start)]
}

/** Splitting both reversed is splitting from the end, in one pass. */
function splitFromEnd(text: string, needle: string, limit: number): string[] {
  const reversed = (units: string) => units.split('').reverse().join('')
  return splitAt(reversed(text), reversed(needle), limit).map(reversed).reverse()
}

export function replaceText(context: Context, text: string, old: string, replacement: string, limit: number): string {
  scan(context, text)
  if (limit === 0) return text
  const parts = old === '' ? splitCharacters(context, text, limit) : splitAt(text, old, limit)
  context.budget.step(Math.floor(parts.length / 16))
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
