import type { PromptMessage } from '../content-hash.js'
import type { Tags } from '../variants.js'
import type { Diffable } from './prompt-diff.js'

/**
 * All that a prompt is beside its texts, its config and its inputs, one thing a line: its type and template, the roles of
 * its messages, its variants, variables and includes. Equal for two prompts only if they have the same of it. Pure.
 */
export function outlineOf({ type, template, messages, variants, variables, includes }: Diffable): string {
  const lines = [
    `type: ${type}`,
    `template: ${template}`,
    ...roleLines(messages),
    ...variants.flatMap((variant) => [`variant: ${tagsLabel(variant.tags)}`, ...roleLines(variant.messages)]),
    ...variables.map(({ name, required }) => `variable: ${plain(name)}${required ? ' (required)' : ''}`),
    ...Object.entries(includes)
      .map(([reference, { version }]) => `include: ${plain(reference)} ${plain(version)}`)
      .sort(),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function roleLines(messages: readonly PromptMessage[] | null): string[] {
  return (messages ?? []).map((message) =>
    'placeholder' in message ? `placeholder: ${plain(message.placeholder)}` : `message: ${plain(message.role)}`,
  )
}

/** `{locale: cn, tone: friendly}`, in one line whatever the tags hold. Pure. */
export function tagsLabel(tags: Tags): string {
  return `{${Object.entries(tags)
    .map(([tag, value]) => `${plain(tag)}: ${plain(value)}`)
    .join(', ')}}`
}

/** A longer label is cut where it stands in a heading: a variant of a chat has one for each message. */
const maxHeadingLength = 120

/** What a variant is called in headings, which need not tell it from all others. Pure. */
export function variantHeading(tags: Tags): string {
  const label = tagsLabel(tags)
  return `variant ${label.length > maxHeadingLength ? `${label.slice(0, maxHeadingLength).toWellFormed()}…` : label}`
}

/** A word as it is, or as JSON where it could be taken for something else. */
function plain(text: string): string {
  return /^[\p{L}\p{N}\p{M}_./@+-]+$/u.test(text) ? text : JSON.stringify(text)
}
