import { FileError } from './file-error.js'
import { isMapping } from './yaml.js'

type Attributes = { message: number } & Record<string, unknown>
export type ReadMessages = { messages: unknown; attributes: Attributes[]; warnings: string[] }

/** Chat messages as APIs take them: roles in any case, content as text or in parts. What is no list is left to validation. */
export function readMessages(value: unknown): ReadMessages {
  if (!Array.isArray(value)) return { messages: value, attributes: [], warnings: [] }
  const attributes: Attributes[] = []
  const messages = value.map((message, index) => {
    if (!isMapping(message) || isPlaceholder(message)) return message
    const { role, content, ...others } = message
    const more = Object.entries(others).filter(([, value]) => value !== null)
    if (more.length > 0) attributes.push({ message: index, ...Object.fromEntries(more) })
    return { role: typeof role === 'string' ? role.trim().toLowerCase() : role, content: textOf(content, index) }
  })
  const warnings = attributes.length > 0 ? [attributesWarning] : []
  return { messages, attributes, warnings }
}

/** Stands for messages that are only known when the prompt is rendered. */
function isPlaceholder(message: Record<string, unknown>): boolean {
  return typeof message.placeholder === 'string' && message.role === undefined && message.content === undefined
}

export const attributesWarning =
  'messages have more than a role and content; the rest is kept in metadata as `messageAttributes`.'

function textOf(content: unknown, index: number): unknown {
  if (content === null || content === undefined) return ''
  if (typeof content === 'number' || typeof content === 'boolean') return String(content)
  if (!Array.isArray(content)) return content
  const texts = content.map((part) => (isMapping(part) ? part.text : part))
  if (texts.every((text) => typeof text === 'string')) return texts.join('\n')
  throw new FileError(`message ${index + 1} has a part that is no text. Put it into the text, as an address or an input.`)
}
