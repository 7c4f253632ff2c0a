import type { PromptMessage } from '../lib/content-hash.js'
import type { PromptPlan } from '../lib/prompt-plan.js'

type Loose = Record<string, unknown>

/** Plans hold values of 64 levels at most, a few levels down. */
const maxLevels = 80

/**
 * Whether a value is a plan for a name and a ref, as far as it matters that nothing breaks: what answers may be another service,
 * and what lies in a folder may have been put there by anybody.
 */
export function isPlan(value: unknown, name: string, ref: string): value is PromptPlan {
  if (!isObject(value) || value.name !== name || value.ref !== ref || typeof value.by !== 'string') return false
  const { canary } = value
  if (!isFlat(value) || !isTarget(value.stable) || !(canary === null || isObject(canary))) return false
  return canary === null || (typeof canary.salt === 'string' && typeof canary.basisPoints === 'number' && isTarget(canary.target))
}

function isTarget(value: unknown): boolean {
  if (!isObject(value)) return false
  const { prompt, problem } = value
  if (prompt === null || prompt === undefined) return isObject(problem) && typeof problem.code === 'string'
  return isObject(prompt) && typeof prompt.version === 'string' && isBody(prompt) && isVersion(prompt)
}

function isVersion({ variants, config, includes, inputs }: Loose): boolean {
  const areVariants =
    Array.isArray(variants) && variants.every((variant) => isObject(variant) && areTags(variant.tags) && isBody(variant))
  return areVariants && isObject(config) && isObject(includes) && (inputs === null || isObject(inputs))
}

function isBody({ content, messages, variables }: Loose): boolean {
  const hasBody = typeof content === 'string' || (Array.isArray(messages) && messages.every(isMessage))
  return hasBody && Array.isArray(variables)
}

function areTags(value: unknown): boolean {
  return isObject(value) && Object.values(value).every((tag) => typeof tag === 'string')
}

/** Whether a value is a message of a chat, or the place of some. */
export function isMessage(value: unknown): value is PromptMessage {
  if (!isObject(value)) return false
  const { role, content, placeholder } = value
  return typeof placeholder === 'string' || (typeof role === 'string' && typeof content === 'string')
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What is nested deeper than any plan could not be written as JSON again. */
function isFlat(value: unknown): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxLevels) return false
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
  return true
}
