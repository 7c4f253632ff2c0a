import { textFor } from './iteration.js'
import type { Context } from './operations.js'
import { substituted } from './python-text.js'
import { Markup, type Value } from './values.js'

const entities = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&#34;'],
  ["'", '&#39;'],
] as const

/** A text with the characters escaped that mean something in HTML. */
export function escapeText(context: Context, text: string): string {
  context.budget.characters(text.length)
  if (!/[&<>"']/.test(text)) return text
  // Of five times the length at the most, and slower than copying.
  context.budget.characters(4 * text.length)
  return entities.reduce((made, [character, entity]) => substituted(made, character, entity), text)
}

/** What `escape` gives: a markup stays as it is. */
export function marked(context: Context, value: Value): Markup {
  return value instanceof Markup ? value : new Markup(escapeText(context, textFor(context, value)))
}

/** The text of a value within markup. */
export function escaped(context: Context, value: Value): string {
  return marked(context, value).text
}

/** A result is of the kind of the text it is made from. */
export function like(value: Value, text: string): string | Markup {
  return value instanceof Markup ? new Markup(text) : text
}
