import { isPromptName, maxNameLength, slugPath } from '../lib/names.js'
import type { Fallback } from './fallbacks.js'
import { invalidOption } from './options.js'
import { maxNamesOfCall } from './plan-source.js'
import { PromptsyncError } from './problem.js'
import type { Prompt } from './prompt.js'

export type GetPromptOptions = {
  /** An alias, a version, a release, a commit, `latest` or `builtin`; `production` unless the manager was told otherwise. */
  ref?: string | undefined
  /** What a variant is chosen by: `{ locale: 'de-CH', tone: 'friendly' }`. */
  tags?: Record<string, string | undefined> | undefined
  /** The subject, a user's id say: the same key stays on its side of a canary. Without one each call draws anew. */
  key?: string | undefined
  /** What the application can work with. Another type throws `client.invalid`. */
  type?: 'text' | 'chat' | undefined
  /** What is answered where nothing else is. */
  fallback?: Fallback | undefined
  /** Whether a file of `promptsDir`, or of the folder that is named here, is answered before the `fallback`. */
  fallbackToLocal?: boolean | string | undefined
}

export type GetPromptsOptions = {
  ref?: string | undefined
  tags?: Record<string, string | undefined> | undefined
  key?: string | undefined
  /** Whether what is missing is null in the list, and not an error of the whole. */
  partial?: boolean | undefined
}

export type PeekOptions = Pick<GetPromptOptions, 'ref' | 'tags' | 'key'>

export type EventsOptions = {
  /** Ends it. */
  signal?: AbortSignal | undefined
  /** To go on behind the last event that was had. */
  lastEventId?: string | undefined
}

export const optionsOfOne = new Set(['ref', 'tags', 'key', 'type', 'fallback', 'fallbackToLocal'])
export const optionsOfMany = new Set(['ref', 'tags', 'key', 'partial'])
const maxTags = 32
const maxTagLength = 400
const maxKeyLength = 1_024

export function hasAnother({ fallback, fallbackToLocal }: GetPromptOptions): boolean {
  return fallback !== undefined || (fallbackToLocal !== undefined && fallbackToLocal !== false)
}

export function checkName(name: unknown): void {
  if (typeof name === 'string' && isPromptName(name)) return
  const meant = typeof name === 'string' ? slugPath(name) : ''
  const hint = isPromptName(meant) ? ` Did you mean "${meant}"?` : ''
  throw invalidOption(
    'name',
    `must be a prompt's name, such as "customer_support", of at most ${maxNameLength} characters.${hint}`,
  )
}

export function checkNames(names: unknown): void {
  if (!Array.isArray(names) || names.length === 0 || names.length > maxNamesOfCall) {
    throw invalidOption('names', `must be a list of 1 to ${maxNamesOfCall} names.`)
  }
  for (const name of names) checkName(name)
  if (new Set(names).size < names.length) throw invalidOption('names', 'must name each prompt once.')
}

/** As the service would take them. */
export function checkSubject({
  tags,
  key,
}: {
  tags?: Record<string, string | undefined> | undefined
  key?: string | undefined
}): void {
  if (key !== undefined && (typeof key !== 'string' || key === '' || key.length > maxKeyLength)) {
    throw invalidOption('key', `must be a text of 1 to ${maxKeyLength} characters. Leave it out for a draw by chance.`)
  }
  if (tags === undefined) return
  if (typeof tags !== 'object' || tags === null) throw invalidOption('tags', 'must be an object, with a text for each tag.')
  let count = 0
  for (const tag in tags) {
    const value = tags[tag]
    count += 1
    const isText = value === undefined || (typeof value === 'string' && value !== '' && value.length <= maxTagLength)
    if (!isText || tag.length > maxTagLength)
      throw invalidOption(`tags.${tag.slice(0, 64)}`, 'must be a text of at most 400 characters.')
  }
  if (count > maxTags) throw invalidOption('tags', `must be at most ${maxTags}.`)
}

export function notOfType({ name, type, version }: Prompt, wanted: string): PromptsyncError {
  const detail = `Prompt "${name}" ${version} is of type "${type}", not "${wanted}". Ask for the other type, or push it anew.`
  return new PromptsyncError('client.invalid', detail, { status: null })
}
