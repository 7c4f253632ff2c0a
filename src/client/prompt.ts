import type { PromptMessage } from '../lib/content-hash.js'
import { chooseTarget, type Decided, decide, type PromptPlan, type Subject } from '../lib/prompt-plan.js'
import type { RenderedMessage } from '../lib/rendering/placeholders.js'
import { type PreparedPrompt, preparePrompt } from '../lib/rendering/prepared-prompt.js'
import { RenderError } from '../lib/rendering/render-error.js'
import { renderProblem } from '../lib/rendering/render-problem.js'
import { type RenderedPrompt, renderPrepared } from '../lib/rendering/render-prompt.js'
import type { IncludedPrompts } from '../lib/rendering/units.js'
import { chooseVariant, type Tags } from '../lib/variants.js'
import { type FormattedPrompt, type RequestOptions, toAISDK, toAnthropic, toOpenAI } from './formats.js'
import { toJsonVariables } from './json-variables.js'
import { PromptsyncError } from './problem.js'

/** Where an answer was taken from: `disk` and `network` where this call waited for them. */
export type ServedFrom = 'memory' | 'disk' | 'network' | 'fallback' | 'local'

export type FormatOptions = {
  /** Without it what is missing is rendered empty; with it one error names all of it. True. */
  strict?: boolean
}

/** What was decided; what no server answered has no hash. */
export type Answer = Omit<Decided, 'contentHash' | 'includes'> & { contentHash: string | null; includes: IncludedPrompts }

/** What one subject gets of a plan. All who get the same share it, with the template that was read once. */
export class Outcome {
  #prepared: PreparedPrompt | null = null

  constructor(
    readonly answer: Answer,
    /** Told how many more bytes of memory it takes. */
    readonly onGrow: (bytes: number) => void,
  ) {}

  /** Throws `PromptsyncError` with the codes, the words and the `errors` of the server. */
  render(variables: object, { strict = true }: FormatOptions): RenderedPrompt {
    const given = toJsonVariables(variables)
    try {
      return renderPrepared(this.#prepare(), { variables: given, strict })
    } catch (error) {
      if (!(error instanceof RenderError)) throw error
      const { code, detail, errors } = renderProblem(error, this.answer)
      throw new PromptsyncError(code, detail, { status: 422, errors, cause: error })
    }
  }

  #prepare(): PreparedPrompt {
    if (!this.#prepared) {
      this.#prepared = preparePrompt(this.answer)
      this.onGrow(this.#prepared.sizeBytes)
    }
    return this.#prepared
  }
}

/** What is of one call alone. */
export type Served = { servedFrom: ServedFrom; ageMs: number; isStale: boolean }

/**
 * A prompt, decided for one subject. It is a picture of the moment: ask the manager again for each use. What it holds is shared
 * with other calls, and frozen.
 */
class DecidedPrompt {
  readonly name: string
  readonly ref: string
  readonly type: 'text' | 'chat'
  readonly template: 'jinja' | 'none'
  /** The template of a text; null of a chat. */
  readonly content: string | null
  /** The messages of a chat, with their templates; null of a text. */
  readonly messages: readonly PromptMessage[] | null
  /** Model settings and whatever else was pushed with it. */
  readonly config: Readonly<Record<string, unknown>>
  readonly inputs: Readonly<Record<string, unknown>> | null
  readonly variables: Decided['variables']
  /** `builtin` for what the server ships, `local` and `fallback` for what it did not answer. */
  readonly version: string
  readonly release: string | null
  /** Of the chosen variant; none for the prompt's own content. */
  readonly tags: Readonly<Tags>
  readonly canary: Decided['canary']
  /** Of the whole version; null for what no server answered. */
  readonly contentHash: string | null
  readonly servedFrom: ServedFrom
  /** Milliseconds since the service confirmed it. */
  readonly ageMs: number
  /**
   * Whether it may have been replaced meanwhile: the service could not be asked, or could not be sure itself, and the time that
   * it may be served unasked is over; an event said that it changed; or it is older than `maxStaleMs`.
   */
  readonly isStale: boolean
  readonly #outcome: Outcome

  constructor(outcome: Outcome, { servedFrom, ageMs, isStale }: Served) {
    const { answer } = outcome
    this.name = answer.name
    this.ref = answer.ref
    this.type = answer.type
    this.template = answer.template
    this.content = answer.content
    this.messages = answer.messages
    this.config = answer.config
    this.inputs = answer.inputs
    this.variables = answer.variables
    this.version = answer.version
    this.release = answer.release
    this.tags = answer.tags
    this.canary = answer.canary
    this.contentHash = answer.contentHash
    this.servedFrom = servedFrom
    this.ageMs = ageMs
    this.isStale = isStale
    this.#outcome = outcome
  }

  /**
   * Renders it with the variables: the text of a text, the messages of a chat, byte for byte what `POST …/render` answers.
   * Throws `PromptsyncError` with the codes of that call: `variables.missing`, `inputs.invalid`, `template.…`.
   */
  format(variables: object = {}, options: FormatOptions = {}): string | RenderedMessage[] {
    const rendered = this.#outcome.render(variables, options)
    return 'text' in rendered ? rendered.text : rendered.messages
  }

  /** The body of a call to OpenAI's Chat Completions. */
  toOpenAI(variables: object = {}, options: FormatOptions & RequestOptions = {}) {
    return toOpenAI(this.#formatted(variables, options), options)
  }

  /** The body of a call to Anthropic's Messages. */
  toAnthropic(variables: object = {}, options: FormatOptions & RequestOptions = {}) {
    return toAnthropic(this.#formatted(variables, options), options)
  }

  /** What `generateText` and `streamText` of the AI SDK take beside the model. */
  toAISDK(variables: object = {}, options: FormatOptions & RequestOptions = {}) {
    return toAISDK(this.#formatted(variables, options), options)
  }

  #formatted(variables: object, options: FormatOptions): FormattedPrompt {
    const { type, config } = this.#outcome.answer
    return { type, config, ...this.#outcome.render(variables, options) }
  }
}

type Of<Type, Content, Messages, Formatted> = Omit<DecidedPrompt, 'type' | 'content' | 'messages' | 'format'> & {
  readonly type: Type
  readonly content: Content
  readonly messages: Messages
  format(variables?: object, options?: FormatOptions): Formatted
}

/** A prompt that is one text: `format` answers it as a string. */
export type TextPrompt = Of<'text', string, null, string>

/** A prompt that is a chat: `format` answers its messages. */
export type ChatPrompt = Of<'chat', null, readonly PromptMessage[], RenderedMessage[]>

export type Prompt = TextPrompt | ChatPrompt

/** A prompt for one call. */
export function toPrompt(outcome: Outcome, served: Served): Prompt {
  return new DecidedPrompt(outcome, served) as DecidedPrompt & Prompt
}

/** Tags may come from anybody: a header that names languages say. What is kept of them for a plan stays below 100 kB. */
const maxAsked = 250
const maxAskedLength = 200

/** The same for the same tags in the same order, and for no others. */
function idOf(tags: Tags): string {
  let id = ''
  for (const tag in tags) {
    const value = tags[tag]
    if (value !== undefined) id += ` ${tag.length} ${tag} ${value.length} ${value}`
  }
  return id
}

/** The subject of a call, as far as a plan minds it. */
export type Asked = { tags?: Tags | undefined; key?: string | undefined }

/** A plan and what was decided of it so far: few outcomes, however many subjects there are. */
export class Decisions {
  /** By side and variant. */
  readonly #outcomes = new Map<string, Outcome>()
  /** The same by what was asked for: comparing tags with those of all variants takes a while. */
  readonly #byAsked = new Map<string, Outcome>()
  #plain: Outcome | null = null

  constructor(
    readonly plan: PromptPlan,
    readonly onGrow: (bytes: number) => void,
  ) {}

  /** What a subject gets, as the server decides it. Throws `PromptsyncError` where that is a refusal. */
  outcome({ tags, key }: Asked, canary: 'on' | 'off', random: () => number): Outcome {
    const isPlain = tags === undefined && (this.plan.canary === null || canary === 'off')
    if (isPlain && this.#plain) return this.#plain
    const { target, selected } = chooseTarget(this.plan, { key, canary, random })
    const side = `${selected} ${canary}`
    const asked = tags === undefined ? side : side + idOf(tags)
    const known = this.#byAsked.get(asked)
    if (known) return known
    const variants = target.prompt?.variants ?? []
    const variant = tags === undefined ? null : chooseVariant(variants, tags)
    const outcome = this.#outcomeOf(`${side} ${variant ? variants.indexOf(variant) : ''}`, {
      // A draw that ends on the side that was drawn already.
      ...{ canary, tags: tags ?? {}, random: () => (selected ? 0 : 1 - Number.EPSILON) },
    })
    if (asked.length <= maxAskedLength) this.#remember(asked, outcome)
    if (isPlain) this.#plain = outcome
    return outcome
  }

  #remember(asked: string, outcome: Outcome): void {
    if (this.#byAsked.size >= maxAsked) this.#byAsked.clear()
    this.#byAsked.set(asked, outcome)
  }

  #outcomeOf(id: string, subject: Subject): Outcome {
    const known = this.#outcomes.get(id)
    if (known) return known
    const outcome = this.#decide(subject)
    this.#outcomes.set(id, outcome)
    return outcome
  }

  #decide(subject: Subject): Outcome {
    const { answer, problem } = decide(this.plan, subject)
    if (!answer) throw new PromptsyncError(problem.code, problem.detail, { status: problem.status })
    return new Outcome(answer as Answer, this.onGrow)
  }
}

/** Freezes a value of JSON through and through: it is handed out to many. */
export function frozen<Value>(value: Value): Value {
  let level: unknown[] = [value]
  while (level.length > 0) {
    const next: unknown[] = []
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue
      Object.freeze(item)
      for (const child of Object.values(item)) next.push(child)
    }
    level = next
  }
  return value
}
