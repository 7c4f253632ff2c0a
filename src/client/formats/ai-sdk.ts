import { isObject, type JsonObject, ownValue } from '../../lib/rendering/json-values.js'
import type { RenderedMessage } from '../../lib/rendering/placeholders.js'
import {
  answeredCall,
  argumentsOf,
  callsOf,
  conversationOf,
  type FormattedPrompt,
  isInstruction,
  partsOf,
  type RequestOptions,
  readDataUrl,
  textOf,
} from './conversation.js'
import { invalid, present, readSettings } from './settings.js'

type TextPart = { type: 'text'; text: string }
type FilePart = { type: 'file'; data: string; mediaType: string; filename?: string }
type CallPart = { type: 'tool-call'; toolCallId: string; toolName: string; input: unknown }
type ResultOutput = { type: 'text'; value: string } | { type: 'content'; value: TextPart[] }
type ResultPart = { type: 'tool-result'; toolCallId: string; toolName: string; output: ResultOutput }
type UserPart = TextPart | FilePart | { type: 'image'; image: string }

export type AISDKContentPart = UserPart | CallPart | ResultPart

export type AISDKMessage =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | UserPart[] }
  | { role: 'assistant'; content: string | (TextPart | FilePart | CallPart)[] }
  | { role: 'tool'; content: ResultPart[] }

/**
 * What `generateText` and `streamText` of Vercel's AI SDK 5 and later take, but for the model and the tools: both are objects
 * of the application. Members that the config says nothing about are not there.
 */
export type AISDKRequest = {
  system?: string
  messages: AISDKMessage[]
  temperature?: number
  maxOutputTokens?: number
  topP?: number
  topK?: number
  presencePenalty?: number
  frequencyPenalty?: number
  stopSequences?: string[]
  seed?: number
}

/**
 * Turns a formatted prompt into the settings of `generateText`. Instructions that come first are `system`, joined by an empty
 * line. What of the config the AI SDK has no setting for is left out, as are model and tools; a value of a wrong type, and a
 * message that cannot be said there, is `client.invalid`. Pure.
 */
export function toAISDK(prompt: FormattedPrompt, options: RequestOptions = {}): AISDKRequest {
  const settings = readSettings(prompt.config)
  const conversation = conversationOf(prompt, options)
  const count = conversation.findIndex((message) => !isInstruction(message))
  const instructions = count === -1 ? conversation : conversation.slice(0, count)
  return present({
    system: instructions.length > 0 ? instructions.map(({ content }) => textOf(content)).join('\n\n') : undefined,
    messages: toMessages(conversation.slice(instructions.length)),
    temperature: settings.number('temperature'),
    maxOutputTokens: settings.number('max_output_tokens', 'max_completion_tokens', 'max_tokens'),
    topP: settings.number('top_p'),
    topK: settings.number('top_k'),
    presencePenalty: settings.number('presence_penalty'),
    frequencyPenalty: settings.number('frequency_penalty'),
    stopSequences: settings.texts('stop_sequences', 'stop'),
    seed: settings.number('seed'),
  })
}

/** An answer of a tool names the tool, which only the call says. */
function toMessages(messages: readonly RenderedMessage[]): AISDKMessage[] {
  const tools = new Map<string, string>()
  return messages.map((message) => {
    for (const { id, name } of callsOf(message)) tools.set(id, name)
    return toMessage(message, tools)
  })
}

function toMessage(message: RenderedMessage, tools: ReadonlyMap<string, string>): AISDKMessage {
  const { role, content } = message
  if (isInstruction(message)) return { role: 'system', content: textOf(content) }
  if (role === 'user') return { role, content: typeof content === 'string' ? content : userParts(content) }
  if (role === 'assistant') return { role, content: assistantContent(message) }
  if (role === 'tool') return { role, content: [toResult(message, tools)] }
  throw invalid(`The AI SDK has no messages of the role "${role}". Use system, user, assistant or tool.`)
}

function assistantContent(message: RenderedMessage): string | (TextPart | FilePart | CallPart)[] {
  const calls = callsOf(message)
  if (typeof message.content === 'string' && calls.length === 0) return message.content
  const said = partsOf(message.content) as (TextPart | FilePart)[]
  const made = calls.map((call) => ({
    type: 'tool-call' as const,
    toolCallId: call.id,
    toolName: call.name,
    input: argumentsOf(call),
  }))
  return [...said, ...made]
}

function toResult(message: RenderedMessage, tools: ReadonlyMap<string, string>): ResultPart {
  const { content } = message
  const toolCallId = answeredCall(message)
  const toolName = tools.get(toolCallId) ?? ownValue(message, 'name')
  if (typeof toolName !== 'string') {
    throw invalid(`No message before it has the call "${toolCallId}" that a message of a tool answers. Give that one, too.`)
  }
  const output: ResultOutput = Array.isArray(content)
    ? { type: 'content', value: partsOf(content) as TextPart[] }
    : { type: 'text', value: textOf(content) }
  return { type: 'tool-result', toolCallId, toolName, output }
}

/** Parts of the AI SDK's own stay as they are. */
function userParts(content: unknown): UserPart[] {
  return partsOf(content).map((part) => toImage(part) ?? toAudio(part) ?? toFile(part) ?? (part as UserPart))
}

function toImage(part: JsonObject): UserPart | null {
  const image = ownValue(part, 'image_url')
  const url = isObject(image) ? ownValue(image, 'url') : image
  return part.type === 'image_url' && typeof url === 'string' ? { type: 'image', image: url } : null
}

function toAudio(part: JsonObject): UserPart | null {
  const audio = ownValue(part, 'input_audio')
  const { data, format } = (isObject(audio) ? audio : {}) as { data?: unknown; format?: unknown }
  if (part.type !== 'input_audio' || typeof data !== 'string') return null
  return { type: 'file', data, mediaType: format === 'mp3' ? 'audio/mpeg' : `audio/${format}` }
}

function toFile(part: JsonObject): UserPart | null {
  const file = ownValue(part, 'file')
  const { file_data: url, filename } = (isObject(file) ? file : {}) as { file_data?: unknown; filename?: string }
  const read = part.type === 'file' && typeof url === 'string' ? readDataUrl(url) : null
  return read && present({ type: 'file' as const, data: read.data, mediaType: read.mediaType, filename })
}
