import { isObject, type JsonObject, ownValue } from '../../lib/rendering/json-values.js'
import type { RenderedMessage } from '../../lib/rendering/placeholders.js'
import { conversationOf, type FormattedPrompt, partsOf, type RequestOptions } from './conversation.js'
import { present, readSettings, type Settings } from './settings.js'
import { readToolChoice, readTools, type Tool, type ToolChoice } from './tools.js'

type TextPart = { type: 'text'; text: string }

export type OpenAIContentPart =
  | TextPart
  | { type: 'image_url'; image_url: { url: string; detail?: 'auto' | 'low' | 'high' } }
  | { type: 'input_audio'; input_audio: { data: string; format: 'wav' | 'mp3' } }
  | { type: 'file'; file: { file_data?: string; file_id?: string; filename?: string } }

export type OpenAIToolCall = { id: string; type: 'function'; function: { name: string; arguments: string } }

export type OpenAIMessage =
  | { role: 'system' | 'developer'; content: string | TextPart[]; name?: string }
  | { role: 'user'; content: string | OpenAIContentPart[]; name?: string }
  | {
      role: 'assistant'
      content?: string | TextPart[] | null
      name?: string
      refusal?: string | null
      tool_calls?: OpenAIToolCall[]
    }
  | { role: 'tool'; content: string | TextPart[]; tool_call_id: string }

export type OpenAITool = {
  type: 'function'
  function: { name: string; description?: string; parameters?: Record<string, unknown>; strict?: boolean }
}

export type OpenAIToolChoice = 'auto' | 'none' | 'required' | { type: 'function'; function: { name: string } }

type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema'
      json_schema: { name: string; description?: string; schema?: Record<string, unknown>; strict?: boolean | null }
    }

/** The body of a request to OpenAI's Chat Completions. Members that the config says nothing about are not there. */
export type OpenAIRequest = {
  /** Not there where the config names none: `{ model: 'gpt-4o', ...request }` then gives it one. */
  model?: string
  messages: OpenAIMessage[]
  temperature?: number
  top_p?: number
  n?: number
  seed?: number
  max_tokens?: number
  max_completion_tokens?: number
  presence_penalty?: number
  frequency_penalty?: number
  top_logprobs?: number
  logprobs?: boolean
  logit_bias?: Record<string, number>
  stop?: string[]
  tools?: OpenAITool[]
  tool_choice?: OpenAIToolChoice
  parallel_tool_calls?: boolean
  response_format?: ResponseFormat
  reasoning_effort?: 'minimal' | 'low' | 'medium' | 'high'
  verbosity?: 'low' | 'medium' | 'high'
  service_tier?: 'auto' | 'default' | 'flex' | 'priority'
  store?: boolean
  metadata?: Record<string, string>
  user?: string
  safety_identifier?: string
  prompt_cache_key?: string
}

/**
 * Turns a formatted prompt into the body of a request to Chat Completions. What of the config that API does not have is left
 * out; a value of a wrong type is `client.invalid`. Values that are one of several words are sent as they are. Pure.
 */
export function toOpenAI(prompt: FormattedPrompt, options: RequestOptions = {}): OpenAIRequest {
  const settings = readSettings(prompt.config)
  return present({
    model: settings.text('model'),
    messages: conversationOf(prompt, options).map(toMessage),
    ...numbersOf(settings),
    logprobs: settings.flag('logprobs'),
    logit_bias: settings.object('logit_bias') as Record<string, number> | undefined,
    stop: settings.texts('stop', 'stop_sequences'),
    tools: readTools(settings)?.map(toTool),
    tool_choice: toChoice(readToolChoice(settings)),
    parallel_tool_calls: settings.flag('parallel_tool_calls'),
    response_format: responseFormatOf(settings),
    reasoning_effort: settings.text('reasoning_effort') as OpenAIRequest['reasoning_effort'],
    verbosity: settings.text('verbosity') as OpenAIRequest['verbosity'],
    service_tier: settings.text('service_tier') as OpenAIRequest['service_tier'],
    store: settings.flag('store'),
    metadata: settings.object('metadata') as Record<string, string> | undefined,
    user: settings.text('user'),
    safety_identifier: settings.text('safety_identifier'),
    prompt_cache_key: settings.text('prompt_cache_key'),
  })
}

function numbersOf(settings: Settings) {
  const completionTokens = settings.number('max_completion_tokens', 'max_output_tokens')
  return {
    temperature: settings.number('temperature'),
    top_p: settings.number('top_p'),
    n: settings.number('n'),
    seed: settings.number('seed'),
    // The two are one limit under two names, and a request that has both is refused.
    max_tokens: completionTokens === undefined ? settings.number('max_tokens') : undefined,
    max_completion_tokens: completionTokens,
    presence_penalty: settings.number('presence_penalty'),
    frequency_penalty: settings.number('frequency_penalty'),
    top_logprobs: settings.number('top_logprobs'),
  }
}

const common = ['role', 'content', 'name'] as const
/** The members of a message that the API knows: it refuses others, such as the ids that applications keep beside theirs. */
const membersOf: ReadonlyMap<string, readonly string[]> = new Map([
  ['assistant', [...common, 'refusal', 'tool_calls', 'function_call', 'audio']],
  ['tool', ['role', 'content', 'tool_call_id']],
])

/** What an application gave as a message is its own, and is not checked further than the server does. */
function toMessage(message: RenderedMessage): OpenAIMessage {
  const members = membersOf.get(message.role) ?? common
  const kept = members.map((name) => [name, ownValue(message, name)] as const)
  const content = Array.isArray(message.content) ? partsOf(message.content) : message.content
  return present({ ...Object.fromEntries(kept), content }) as OpenAIMessage
}

function toTool(tool: Tool): OpenAITool {
  if ('other' in tool) return tool.other as OpenAITool
  return { type: 'function', function: tool.function }
}

function toChoice(choice: ToolChoice | undefined): OpenAIToolChoice | undefined {
  if (!choice) return undefined
  return 'tool' in choice ? { type: 'function', function: { name: choice.tool } } : choice.mode
}

/** GitHub's prompt files have the format as a word, and the schema beside it. */
function responseFormatOf(settings: Settings): ResponseFormat | undefined {
  const format = settings.any('response_format')
  if (isObject(format)) return format as ResponseFormat
  const schema = settings.any('json_schema')
  if (isObject(schema) && (format === undefined || format === 'json_schema')) {
    return { type: 'json_schema', json_schema: namedSchema(schema) }
  }
  return format === 'text' || format === 'json_object' ? { type: format } : undefined
}

function namedSchema(schema: JsonObject): { name: string; schema?: Record<string, unknown> } {
  const isNamed = typeof ownValue(schema, 'name') === 'string' && isObject(ownValue(schema, 'schema'))
  return isNamed ? (schema as { name: string }) : { name: 'answer', schema }
}
