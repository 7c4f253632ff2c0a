import { createHash } from 'node:crypto'
import type { Tags } from './variants.js'

export type Message = { role: string; content: string }

/** The body of a version or of a variant: text or chat, one of the two. */
export type Body = { content: string | null; messages: Message[] | null }

export type Variant = Body & { tags: Tags }

/** Everything that makes a version what it is. Title, description, labels and metadata are not of it. */
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
 * `[role, content]`, a variant is `[[[tag, value], …], content or messages]`, and `includes` is `[]` while templates
 * cannot include. The order of keys in config, inputs and tags is significant, but for keys that look like integers:
 * JavaScript sorts those before the others. Pure.
 */
export function contentHash(version: VersionContent): string {
  return hashSerialized(serializeVersion(version))
}

export function hashSerialized(serialized: string): string {
  return `sha256:${createHash('sha256').update(serialized).digest('hex')}`
}

/** The text that is hashed; see `contentHash`. */
export function serializeVersion(version: VersionContent): string {
  return JSON.stringify([
    version.type,
    version.template,
    bodyOf(version),
    version.config,
    version.inputs,
    version.variants.map((variant) => [Object.entries(variant.tags), bodyOf(variant)]),
    [],
  ])
}

function bodyOf({ content, messages }: Body): string | [string, string][] {
  return messages ? messages.map(({ role, content }) => [role, content]) : (content ?? '')
}
