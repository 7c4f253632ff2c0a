import { textFor } from './iteration.js'
import type { Context } from './operations.js'
import { Markup, type Value } from './values.js'

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' }

/** A text with the characters escaped that mean something in HTML, of five times the length at the most. */
export function escapeText(context: Context, text: string): string {
  const count = text.match(/[&<>"']/g)?.length ?? 0
  context.budget.characters(text.length + 4 * count)
  return count === 0 ? text : text.replace(/[&<>"']/g, (character) => entities[character] ?? character)
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
