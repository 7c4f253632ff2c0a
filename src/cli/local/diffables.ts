import { serializeVersion, type VersionContent } from '../../lib/content-hash.js'
import type { Diffable } from '../../lib/diff/prompt-diff.js'
import type { PlannedVersion } from '../../lib/prompt-plan.js'
import { contentOf } from '../server/stored-prompts.js'
import type { ParsedPrompt } from './parsed-prompts.js'

/** What local prompts are called in diffs, in place of a ref and a version. */
export const localRef = 'local'

/** What a stored version includes, as a plan tells it. */
export type Included = { name: string; version: string; template: 'jinja' | 'none'; content: string }

/** A stored version as it is compared. `ref` is what it was asked for by. Pure. */
export function storedDiffable(name: string, ref: string, stored: PlannedVersion): Diffable {
  const { version, release, variables, includes } = stored
  const told = Object.entries(includes as Record<string, Included>).map(([key, of]) => [
    key,
    { name: of.name, version: of.version },
  ])
  return { name, ref, version, release, ...contentOf(stored), variables, includes: Object.fromEntries(told) }
}

/** Whether a push of the file would make nothing new of its own: what it includes is another matter. Pure. */
export function isStoredAs({ content }: ParsedPrompt, stored: PlannedVersion | undefined): boolean {
  return stored !== undefined && serializeVersion(content) === serializeVersion(contentOf(stored))
}

/** Whether a text may name other prompts: most do not, and reading them as templates takes its time. */
export const mayRefer = (text: string) => /\b(include|extends|import)\b/.test(text)

/**
 * Whether a local prompt is what is stored in every way: what neither includes anything takes the same variables. Where it is not
 * certain it is false. Pure.
 */
export function isSurelySame(prompt: ParsedPrompt, stored: PlannedVersion): boolean {
  const isAlone = Object.keys(stored.includes).length === 0 && !textsOf(prompt.content).some(mayRefer)
  return isAlone && isStoredAs(prompt, stored)
}

/** The texts of a version, those of its variants last. Pure. */
export function textsOf({ content, messages, variants }: Pick<VersionContent, 'content' | 'messages' | 'variants'>): string[] {
  return [{ content, messages }, ...variants].flatMap((body) =>
    body.messages ? body.messages.flatMap((message) => ('content' in message ? [message.content] : [])) : [body.content ?? ''],
  )
}
