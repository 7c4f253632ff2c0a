import { isObject, type JsonObject, ownValue } from '../../lib/rendering/json-values.js'
import type { RenderedMessage } from '../../lib/rendering/placeholders.js'
import { describe, invalid, readSettings } from './settings.js'

/** A prompt after its variables were filled in: `text` of a text prompt, `messages` of a chat prompt. */
export type FormattedPrompt = {
  type: 'text' | 'chat'
  text?: string
  messages?: readonly RenderedMessage[]
  /** Settings of models, as they were pushed. */
  config: Record<string, unknown>
}

/** In the form of Chat Completions. Types that an application has for it are taken, too: a call of tools has no content there. */
type FollowingMessage = RenderedMessage | { role: string; content?: unknown }

export type RequestOptions = {
  /** What follows the prompt: the conversation so far, in the form of Chat Completions. It is sent as it is, never rendered. */
  messages?: readonly FollowingMessage[]
}

/** A call of a tool in a message of an assistant. */
export type Call = { id: string; name: string; arguments: string }

/**
 * All messages of a request. A text prompt is one message: the model's instructions (`system`), unless its config names another
 * `role`.
 */
export function conversationOf(prompt: FormattedPrompt, { messages: following = [] }: RequestOptions): RenderedMessage[] {
  const { type, text = '', messages = [], config } = prompt
  const role = readSettings(config).text('role') ?? 'system'
  return [...(type === 'text' ? [{ role, content: text }] : messages), ...(following as readonly RenderedMessage[])]
}

/** Instructions for the model, under either of the names that they have. */
export function isInstruction({ role }: RenderedMessage): boolean {
  return role === 'system' || role === 'developer'
}

/** The parts of a content; a text is one part, an empty one none. */
export function partsOf(content: unknown): JsonObject[] {
  const list = Array.isArray(content) ? content : [content]
  return list.flatMap((part) => {
    if (typeof part === 'string') return part === '' ? [] : [{ type: 'text', text: part }]
    return isObject(part) ? [part] : []
  })
}

/** The text of a content, where a target takes nothing else. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  return partsOf(content)
    .map((part) => ownValue(part, 'text'))
    .filter((text) => typeof text === 'string')
    .join('')
}

/** The calls of tools in a message. Throws `client.invalid` where they are none as Chat Completions has them. */
export function callsOf(message: RenderedMessage): Call[] {
  const calls = ownValue(message, 'tool_calls') ?? []
  if (!Array.isArray(calls)) throw invalid(`tool_calls of a message is ${describe(calls)}, not a list of calls.`)
  return calls.map(toCall)
}

function toCall(call: unknown): Call {
  const { id, function: called } = (isObject(call) ? call : {}) as { id?: unknown; function?: unknown }
  const { name, arguments: given } = (isObject(called) ? called : {}) as { name?: unknown; arguments?: unknown }
  if (typeof id === 'string' && typeof name === 'string' && typeof given === 'string') return { id, name, arguments: given }
  throw invalid(
    'A call in tool_calls is not {"id": "…", "type": "function", "function": {"name": "…", "arguments": "…"}}. Give the messages in the form of Chat Completions.',
  )
}

/** The arguments of a call as a value. Without arguments that is an empty object. */
export function argumentsOf({ name, arguments: given }: Call): unknown {
  if (given.trim() === '') return {}
  try {
    return JSON.parse(given)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw invalid(`The arguments of the call of the tool "${name}" are not JSON.`)
  }
}

/** Which call the message of a tool answers. */
export function answeredCall(message: RenderedMessage): string {
  const id = ownValue(message, 'tool_call_id')
  if (typeof id === 'string') return id
  throw invalid('A message of the role "tool" has no tool_call_id. It names the call that the message answers.')
}

/** What data within a message says of itself: `data:image/png;base64,…`. Null for an address. */
export function readDataUrl(url: string): { mediaType: string; data: string } | null {
  const match = /^data:([^;,]+);base64,(.*)$/s.exec(url)
  return match ? { mediaType: match[1] ?? '', data: match[2] ?? '' } : null
}
