import { LRUCache } from 'lru-cache'
import type { Unit, Verbatim } from '../template/composition.js'
import { type CompiledTemplate, compileTemplate } from '../template/render.js'
import { type PreparedInputSchema, prepareInputSchema } from './input-schema.js'
import { type IncludedPrompts, UnitBuilder } from './units.js'

export type PromptMessage = { role: string; content: string } | { placeholder: string }

/** A prompt as an answer of the server has it, with all that it includes. */
export type RenderablePrompt = {
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  content: string | null
  messages: readonly PromptMessage[] | null
  inputs: Record<string, unknown> | null
  variables: readonly { name: string; required: boolean }[]
  includes: IncludedPrompts
}

/** A text to be rendered, or inserted as it is. */
export type Part = Unit<CompiledTemplate> | Verbatim

/** A place of a prompt; `path` names it in errors. */
export type Text = { path: string; part: Part }

export type PreparedMessage = (Text & { role: string }) | { placeholder: string }

/** A prompt ready to be rendered any number of times. It holds nothing of a rendering. */
export type PreparedPrompt = {
  body: { text: Text } | { messages: readonly PreparedMessage[] }
  inputs: PreparedInputSchema | null
  /** The variables that have to be given, in their order, those of placeholders among them. */
  required: readonly string[]
  placeholders: readonly string[]
  /** All variables that the prompt knows of. */
  variables: ReadonlySet<string>
  /** About the bytes it takes in memory. */
  sizeBytes: number
}

/** Keeps what is ready to be rendered, by a key that names the content exactly. */
export type PromptCache = {
  get(key: string): PreparedPrompt | undefined
  set(key: string, prompt: PreparedPrompt): unknown
  clear(): void
}

const maxCachedBytes = 64 * 1024 ** 2
const maxCachedPrompts = 10_000
/** Measured: of a token of a template, and of a prompt of no length, in bytes. */
const tokenBytes = 330
const baseBytes = 2_000

/** A cache that drops what has not been used for longest. */
export function createPromptCache(maxBytes = maxCachedBytes): PromptCache {
  return new LRUCache<string, PreparedPrompt>({
    max: maxCachedPrompts,
    maxSize: maxBytes,
    sizeCalculation: ({ sizeBytes }, key) => sizeBytes + 2 * key.length,
  })
}

/** Compiles the templates of a prompt and reads its schema. Throws `RenderError` where a template is none. */
export function preparePrompt(prompt: RenderablePrompt): PreparedPrompt {
  const { messages, inputs, template, includes } = prompt
  const builder = new UnitBuilder(includes, compileTemplate)
  const textAt = (path: string, source: string): Text => ({
    path,
    part: template === 'none' ? { text: source } : builder.build(source, path),
  })
  const prepareMessage = (message: PromptMessage, index: number): PreparedMessage => {
    if ('placeholder' in message) return { placeholder: message.placeholder }
    return { role: message.role, ...textAt(`messages[${index}].content`, message.content) }
  }
  const placeholders = (messages ?? []).flatMap((message) => ('placeholder' in message ? [message.placeholder] : []))
  const body = messages ? { messages: messages.map(prepareMessage) } : { text: textAt('content', prompt.content ?? '') }
  return {
    body,
    inputs: inputs && prepareInputSchema(inputs),
    required: requiredOf(prompt.variables, placeholders),
    placeholders: [...new Set(placeholders)],
    variables: new Set([...prompt.variables.map(({ name }) => name), ...placeholders]),
    sizeBytes: baseBytes + 2 * charactersOf(prompt) + tokenBytes * builder.tokens,
  }
}

function requiredOf(variables: RenderablePrompt['variables'], placeholders: readonly string[]): string[] {
  const known = new Map(variables.map(({ name, required }) => [name, required]))
  for (const name of placeholders) if (!known.has(name)) known.set(name, true)
  return [...known].filter(([, required]) => required).map(([name]) => name)
}

function charactersOf({ content, messages, inputs, includes }: RenderablePrompt): number {
  const texts = [
    content ?? '',
    ...(messages ?? []).map((message) => ('placeholder' in message ? message.placeholder : message.content)),
    ...Object.values(includes).map((included) => included.content),
  ]
  const schema = inputs ? JSON.stringify(inputs).length : 0
  return texts.reduce((sum, text) => sum + text.length, schema)
}
