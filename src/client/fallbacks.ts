import type { PromptMessage } from '../lib/content-hash.js'
import type { PromptPlan } from '../lib/prompt-plan.js'
import { planOf, readBody } from './made-plan.js'
import { invalidOption, refuseUnknown } from './options.js'
import type { Clock } from './platform.js'
import type { PromptsyncError } from './problem.js'
import { Decisions, frozen } from './prompt.js'

/** What an application brings along for when nothing else answers. */
export type FallbackPrompt = {
  config?: Record<string, unknown>
  /** `jinja`, or `none` for a text that is sent as it is. */
  template?: 'jinja' | 'none'
} & ({ content: string; messages?: undefined } | { messages: readonly PromptMessage[]; content?: undefined })

/** A text, or a prompt, or what makes one; it is told why it is asked. */
export type Fallback =
  | string
  | FallbackPrompt
  | ((error: PromptsyncError) => string | FallbackPrompt | Promise<string | FallbackPrompt>)

/** A file that is edited shows soon; one that is asked for again and again is not read each time. */
const localMs = 1_000
const maxKept = 1_000
const known = new Set(['content', 'messages', 'config', 'template'])

type Kept = { decisions: Decisions | null; readAtMs: number }

/** What is served where the service does not answer: files of the application, and what it gave in the call. */
export class Fallbacks {
  readonly #clock: Clock
  readonly #local = new Map<string, Kept>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The prompt in a folder, or null. Throws `client.invalid` where its file cannot be read as one. */
  async local(folder: string, name: string, ref: string): Promise<Decisions | null> {
    const id = JSON.stringify([folder, name, ref])
    const kept = this.#local.get(id)
    if (kept && this.#clock.monotonic() - kept.readAtMs < localMs) return kept.decisions
    // Files of all formats are read where there are files alone.
    const { LocalPrompts } = await import('./local-prompts.js')
    const plan = await new LocalPrompts(folder).plan(name, ref)
    const decisions = plan && decisionsOf(plan)
    if (this.#local.size >= maxKept) this.#local.clear()
    this.#local.set(id, { decisions, readAtMs: this.#clock.monotonic() })
    return decisions
  }

  /** What the application gives. Throws `client.invalid` where that is no prompt, and whatever its function throws. */
  async given(fallback: Fallback, error: PromptsyncError, name: string, ref: string): Promise<Decisions> {
    const found = typeof fallback === 'function' ? await fallback(error) : fallback
    const prompt = typeof found === 'string' ? { content: found } : found
    if (typeof prompt !== 'object' || prompt === null)
      throw invalidOption('fallback', 'must be a text, a prompt, or a function that makes one.')
    refuseUnknown(prompt, known, 'fallback.')
    const body = readBody(prompt, 'fallback')
    const { template = 'jinja', config = {} } = prompt
    if (template !== 'jinja' && template !== 'none') throw invalidOption('fallback.template', 'must be "jinja" or "none".')
    const own = copyOf({ body, config })
    return decisionsOf(planOf({ name, ref, version: 'fallback', template, ...own, inputs: null, variants: [], includes: {} }))
  }
}

/** It is the application's own object, and is not to be frozen. */
function copyOf<Value>(value: Value): Value {
  try {
    return structuredClone(value)
  } catch (error) {
    // Of functions and the like there is no copy.
    if (error instanceof Error) throw invalidOption('fallback', `must hold nothing but JSON: ${error.message}`)
    throw error
  }
}

function decisionsOf(plan: PromptPlan): Decisions {
  return new Decisions(frozen(plan), () => undefined)
}
