import { createHash } from 'node:crypto'
import type { Tags } from './variants.js'

export type Message = { role: string; content: string }

/** Where the messages of a variable, a list, are inserted when the prompt is rendered. */
export type Placeholder = { placeholder: string }

export type PromptMessage = Message | Placeholder

/** The body of a version or of a variant: text or chat, one of the two. */
export type Body = { content: string | null; messages: PromptMessage[] | null }

export type Variant = Body & { tags: Tags }

/** A reference of a version, as it is written, and the content hash of the version that it got. */
export type IncludedHash = readonly [reference: string, contentHash: string]

/** Everything that makes a version what it is, but for what it includes. Title, description, labels and metadata are not of it. */
export type VersionContent = Body & {
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  config: Record<string, unknown>
  inputs: Record<string, unknown> | null
  variants: Variant[]
}

/**
 * `sha256:` and the hex SHA-256 of the UTF-8 bytes of a JSON array (as `JSON.stringify` writes it, without spaces):
 * `[type, template, content or messages, config, inputs or null, variants, includes]`, where a message is
 * `[role, content]` or `{"placeholder": name}`, a variant is `[[[tag, value], …], content or messages]`, and `includes` is
 * `[[reference as written, content hash of the version it got], …]`, in the order of the references' UTF-16 code units. The order of keys in config, inputs and tags is significant, but for keys that look like integers:
 * JavaScript sorts those before the others. Pure.
 */
export function contentHash(version: VersionContent, includes: readonly IncludedHash[] = []): string {
  return hashSerialized(serializeVersion(version, includes))
}

export function hashSerialized(serialized: string): string {
  return `sha256:${createHash('sha256').update(serialized).digest('hex')}`
}

/** The text that is hashed; see `contentHash`. */
export function serializeVersion(version: VersionContent, includes: readonly IncludedHash[] = []): string {
  return JSON.stringify([
    version.type,
    version.template,
    bodyOf(version),
    version.config,
    version.inputs,
    version.variants.map((variant) => [Object.entries(variant.tags), bodyOf(variant)]),
    [...includes].sort(([a], [b]) => (a < b ? -1 : 1)),
  ])
}

function bodyOf({ content, messages }: Body): string | ([string, string] | Placeholder)[] {
  if (!messages) return content ?? ''
  return messages.map((message) =>
    'placeholder' in message ? { placeholder: message.placeholder } : [message.role, message.content],
  )
}
