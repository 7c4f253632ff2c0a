import type { PromptMessage } from '../lib/content-hash.js'
import type { Decided, PlannedBody, PromptPlan } from '../lib/prompt-plan.js'
import { bodyVariables } from '../lib/prompt-variables.js'
import { RenderError } from '../lib/rendering/render-error.js'
import { type IncludedPrompts, UnitBuilder } from '../lib/rendering/units.js'
import { parseTemplate } from '../lib/template/parse.js'
import { TemplateError } from '../lib/template/template-error.js'
import type { Tags } from '../lib/variants.js'
import { isMessage } from './plan-shape.js'
import { PromptsyncError } from './problem.js'

type Body = { content: string | null; messages: PromptMessage[] | null }

/** A prompt that no server answered. */
export type MadePrompt = {
  name: string
  ref: string
  version: 'fallback' | 'local'
  template: 'jinja' | 'none'
  body: Body
  config: Record<string, unknown>
  inputs: Record<string, unknown> | null
  variants: (Body & { tags: Tags })[]
  includes: IncludedPrompts
}

/** A plan of it, so that its variant is chosen, and it is rendered, as any other's. */
export function planOf({ name, ref, version, template, body, config, inputs, variants, includes }: MadePrompt): PromptPlan {
  const planned = (one: Body): PlannedBody => ({ ...one, variables: template === 'none' ? [] : variablesOf(one, includes) })
  const prompt = {
    ...planned(body),
    ...{
      version,
      release: null,
      type: body.messages ? ('chat' as const) : ('text' as const),
      template,
      config,
      inputs,
      includes,
    },
    variants: variants.map(({ tags, ...one }) => ({ tags, ...planned(one) })),
    // None is known, which is said where it is told: see `Answer`.
    contentHash: null as unknown as string,
    ...{ git: null, createdAt: null },
  }
  return { name, ref, by: 'builtin', source: 'default', stable: { release: null, version, prompt, problem: null }, canary: null }
}

function variablesOf(body: Body, includes: IncludedPrompts): Decided['variables'] {
  const builder = new UnitBuilder(includes, (source) => ({ root: parseTemplate(source) }))
  try {
    return bodyVariables(body, (text) => builder.build(text, 'content'))
  } catch (error) {
    // What is wrong with a template is told where it is rendered.
    if (error instanceof RenderError || error instanceof TemplateError) return []
    throw error
  }
}

/** The text or messages that somebody gave. Throws `client.invalid`, which names `where`. */
export function readBody(given: { content?: unknown; messages?: unknown }, where: string): Body {
  const { content, messages } = given
  if (typeof content === 'string' && messages === undefined) return { content, messages: null }
  if (Array.isArray(messages) && content === undefined && messages.every(isMessage)) return { content: null, messages }
  const detail = `${where} must have either "content", a text, or "messages", a list of { role, content } or { placeholder }.`
  throw new PromptsyncError('client.invalid', detail, { status: null })
}
