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
} from './conversation.js'
import { invalid, present, readSettings, type Settings } from './settings.js'
import { readToolChoice, readTools, type Tool } from './tools.js'

type TextBlock = { type: 'text'; text: string }
type ImageSource =
  | { type: 'url'; url: string }
  | { type: 'base64'; media_type: 'image/jpeg' | 'image/png' | 'image/gif' | 'image/webp'; data: string }
type DocumentSource = { type: 'base64'; media_type: 'application/pdf'; data: string }

export type AnthropicBlock =
  | TextBlock
  | { type: 'image'; source: ImageSource }
  | { type: 'document'; source: DocumentSource; title?: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown }
  | { type: 'tool_result'; tool_use_id: string; content: string | TextBlock[] }

export type AnthropicMessage = { role: 'user' | 'assistant'; content: string | AnthropicBlock[] }

export type AnthropicTool = { name: string; description?: string; input_schema: { type: 'object'; [member: string]: unknown } }

export type AnthropicToolChoice =
  | { type: 'auto' | 'any'; disable_parallel_tool_use?: boolean }
  | { type: 'tool'; name: string; disable_parallel_tool_use?: boolean }
  | { type: 'none' }

/** The body of a request to Anthropic's Messages. Members that the config says nothing about are not there. */
export type AnthropicRequest = {
  /** Not there where the config names none: `{ model: 'claude-sonnet-4-5', ...request }` then gives it one. */
  model?: string
  system?: string | TextBlock[]
  messages: AnthropicMessage[]
  max_tokens: number
  temperature?: number
  top_p?: number
  top_k?: number
  stop_sequences?: string[]
  tools?: AnthropicTool[]
  tool_choice?: AnthropicToolChoice
  thinking?: { type: 'enabled'; budget_tokens: number } | { type: 'disabled' }
  service_tier?: 'auto' | 'standard_only'
  metadata?: { user_id?: string | null }
}

/** The API wants a limit; this is one that all its models can have. */
export const defaultMaxTokens = 4_096

/**
 * Turns a formatted prompt into the body of a request to Anthropic's Messages: instructions are lifted out of the messages,
 * neighbours of one role are joined, answers of tools become the user's, `config.prefill` begins the answer to what was said, and `max_tokens`
 * is 4,096 where the config has no limit. What of the config that API does not have is left out; a value of a wrong type, and a
 * message that cannot be said there, is `client.invalid`. Pure.
 */
export function toAnthropic(prompt: FormattedPrompt, options: RequestOptions = {}): AnthropicRequest {
  const settings = readSettings(prompt.config)
  const conversation = conversationOf(prompt, options)
  const said = conversation.filter((message) => !isInstruction(message)).map(toMessage)
  return present({
    model: settings.text('model'),
    system: systemOf(conversation.filter(isInstruction)),
    messages: joined([...said, ...prefillOf(settings, said)]),
    max_tokens: settings.number('max_tokens', 'max_completion_tokens', 'max_output_tokens') ?? defaultMaxTokens,
    temperature: settings.number('temperature'),
    top_p: settings.number('top_p'),
    top_k: settings.number('top_k'),
    stop_sequences: settings.texts('stop_sequences', 'stop'),
    tools: readTools(settings)?.map(toTool),
    tool_choice: toolChoiceOf(settings),
    thinking: settings.object('thinking') as AnthropicRequest['thinking'],
    service_tier: serviceTierOf(settings),
    metadata: metadataOf(settings),
  })
}

/** Several instructions stay several blocks, so that nothing has to be put between them. */
function systemOf(instructions: RenderedMessage[]): string | TextBlock[] | undefined {
  const [first, ...others] = instructions
  if (!first) return undefined
  if (others.length === 0 && typeof first.content === 'string') return first.content
  return instructions.flatMap(({ content }) => partsOf(content)) as TextBlock[]
}

/**
 * The beginning of the answer, without blanks at its end, which the API refuses. Where nobody has said anything yet there is
 * nothing to answer: it would come to stand before what the application adds.
 */
function prefillOf(settings: Settings, said: readonly AnthropicMessage[]): AnthropicMessage[] {
  const content = settings.text('prefill')?.trimEnd() ?? ''
  return content === '' || said.length === 0 ? [] : [{ role: 'assistant', content }]
}

function toMessage(message: RenderedMessage): AnthropicMessage {
  const { role, content } = message
  if (role === 'user') return { role, content: typeof content === 'string' ? content : blocksOf(content) }
  if (role === 'tool') return { role: 'user', content: [toResult(message)] }
  if (role === 'assistant') {
    const calls = callsOf(message)
    if (typeof content === 'string' && calls.length === 0) return { role, content }
    return { role, content: [...blocksOf(content), ...calls.map(toUse)] }
  }
  throw invalid(`Anthropic's Messages have no role "${role}". Use system, user, assistant or tool.`)
}

function toUse(call: ReturnType<typeof callsOf>[number]): AnthropicBlock {
  return { type: 'tool_use', id: call.id, name: call.name, input: argumentsOf(call) }
}

function toResult(message: RenderedMessage): AnthropicBlock {
  const { content } = message
  const result = typeof content === 'string' ? content : (blocksOf(content) as TextBlock[])
  return { type: 'tool_result', tool_use_id: answeredCall(message), content: result }
}

/** Blocks of Anthropic's own stay as they are, so that a conversation that was had there can go on. */
function blocksOf(content: unknown): AnthropicBlock[] {
  return partsOf(content).map((part) => toImage(part) ?? toDocument(part) ?? (part as AnthropicBlock))
}

function toImage(part: JsonObject): AnthropicBlock | null {
  const image = ownValue(part, 'image_url')
  const url = isObject(image) ? ownValue(image, 'url') : image
  if (part.type !== 'image_url' || typeof url !== 'string') return null
  const read = readDataUrl(url)
  if (!read) return { type: 'image', source: { type: 'url', url } }
  const source = { type: 'base64', media_type: read.mediaType, data: read.data } as ImageSource
  return { type: 'image', source }
}

function toDocument(part: JsonObject): AnthropicBlock | null {
  const file = ownValue(part, 'file')
  const { file_data: url, filename } = (isObject(file) ? file : {}) as { file_data?: unknown; filename?: string }
  const read = part.type === 'file' && typeof url === 'string' ? readDataUrl(url) : null
  if (!read) return null
  const source = { type: 'base64', media_type: read.mediaType, data: read.data } as DocumentSource
  return present({ type: 'document' as const, source, title: filename })
}

/** Turns are taken by turns: what follows in the same role is more of the same message. */
function joined(messages: readonly AnthropicMessage[]): AnthropicMessage[] {
  const all: AnthropicMessage[] = []
  for (const message of messages) {
    const last = all.at(-1)
    if (last?.role !== message.role) all.push(message)
    else all[all.length - 1] = { role: last.role, content: [...toBlocks(last), ...toBlocks(message)] }
  }
  return all
}

function toBlocks({ content }: AnthropicMessage): AnthropicBlock[] {
  return typeof content === 'string' ? (partsOf(content) as AnthropicBlock[]) : content
}

function toTool(tool: Tool): AnthropicTool {
  if ('other' in tool) return tool.other as AnthropicTool
  const { name, description, parameters } = tool.function
  return present({ name, description, input_schema: { type: 'object' as const, ...parameters } })
}

function toolChoiceOf(settings: Settings): AnthropicToolChoice | undefined {
  const choice = readToolChoice(settings)
  const isSerial = settings.flag('parallel_tool_calls') === false
  if (!choice) return isSerial ? { type: 'auto', disable_parallel_tool_use: true } : undefined
  const serial = isSerial ? { disable_parallel_tool_use: true } : {}
  if ('tool' in choice) return { type: 'tool', name: choice.tool, ...serial }
  if (choice.mode === 'none') return { type: 'none' }
  return { type: choice.mode === 'required' ? 'any' : 'auto', ...serial }
}

/** Under the same name the tiers of others are others. */
function serviceTierOf(settings: Settings): AnthropicRequest['service_tier'] {
  const tier = settings.text('service_tier')
  return tier === 'auto' || tier === 'standard_only' ? tier : undefined
}

/** Of what may be noted with a request, the API takes a user's id alone. */
function metadataOf(settings: Settings): AnthropicRequest['metadata'] {
  const noted = ownValue(settings.object('metadata') ?? {}, 'user_id')
  const user = typeof noted === 'string' ? noted : settings.text('user', 'safety_identifier')
  return user === undefined ? undefined : { user_id: user }
}
