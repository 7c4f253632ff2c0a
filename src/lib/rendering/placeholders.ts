import { isObject, type JsonObject, jsonType, ownValue, sizeWithin } from './json-values.js'
import type { RenderFinding } from './render-error.js'

/** A message as it is sent to a model: one that is inserted keeps its other members, `tool_calls` say. */
export type RenderedMessage = { role: string; content: unknown } & JsonObject

const rolePattern = /^[a-z][a-z0-9_-]{0,31}$/
/** Of a list, and of a prompt. */
export const maxMessages = 1_000
const maxCharacters = 1024 ** 2
const maxFindings = 50
const limits = { values: 100_000, characters: maxCharacters, depth: 64 }

/** What is wrong with the value of a placeholder: it is a list of messages. */
export function messageFindings(name: string, value: unknown): RenderFinding[] {
  const path = `variables.${name}`
  if (!Array.isArray(value)) return [{ path, message: `Expected a list of messages, found ${jsonType(value) ?? typeof value}.` }]
  if (value.length > maxMessages) {
    return [{ path, message: `Expected at most ${maxMessages} messages, found ${value.length}. Leave the oldest ones out.` }]
  }
  if (!sizeWithin(value, limits)) {
    return [{ path, message: 'The messages take more than 1 MiB, or are nested over 64 levels deep. Leave the oldest ones out.' }]
  }
  const findings: RenderFinding[] = []
  for (const [index, message] of value.entries()) {
    if (findings.length >= maxFindings) break
    findings.push(...faultsOf(message, `${path}[${index}]`))
  }
  return findings.slice(0, maxFindings)
}

function faultsOf(message: unknown, path: string): RenderFinding[] {
  if (!isObject(message)) {
    return [{ path, message: `Expected a message such as {"role": "user", "content": "…"}, found ${jsonType(message)}.` }]
  }
  const role = ownValue(message, 'role')
  const isRole = typeof role === 'string' && rolePattern.test(role)
  const findings = isRole
    ? []
    : [{ path: `${path}.role`, message: 'Expected a lower-case word such as system, user or assistant.' }]
  return [...findings, ...contentFaults(message, `${path}.content`)]
}

/** A message that calls tools may do without a content. */
function contentFaults(message: JsonObject, path: string): RenderFinding[] {
  const content = ownValue(message, 'content')
  if (content === undefined) {
    return ownValue(message, 'tool_calls') === undefined
      ? [{ path, message: 'Expected a text, a list of parts, or null; it is missing.' }]
      : []
  }
  if (typeof content === 'string' || content === null) return []
  if (!Array.isArray(content))
    return [{ path, message: `Expected a text, a list of parts, or null, found ${jsonType(content)}.` }]
  return content.flatMap((part, index) =>
    isObject(part) || typeof part === 'string'
      ? []
      : [
          {
            path: `${path}[${index}]`,
            message: `Expected a part such as {"type": "text", "text": "…"}, found ${jsonType(part)}.`,
          },
        ],
  )
}

/** Characters of what is inserted, for the limit on all messages together. */
export function charactersOf(messages: readonly unknown[]): number {
  return sizeWithin(messages, limits)?.characters ?? maxCharacters + 1
}
