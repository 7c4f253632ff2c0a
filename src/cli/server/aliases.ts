import type { Context } from '../context.js'
import { optionWords } from '../terminal/command-line.js'
import type { AnswerOf } from './api.js'
import { notPromptsync } from './not-promptsync.js'
import { pathSegment } from './path-segment.js'

export type Alias = AnswerOf<'getAlias'>

/** Options that all changes of aliases have, canaries included. */
export const pinOption = ['--prompt <name>', 'the pin of this prompt, not the alias of the whole project'] as const
export const reasonOption = ['--reason <text>', 'why, for the history'] as const

/** Either side of an alias, or of a move: a release, or for a pin a version. */
type Target = { release: string | null; version: string | null }

/** Reads an alias, or with `prompt` the pin of that prompt. Throws `alias.not_found` with the nearest name. */
export async function requireAlias(context: Context, name: string, prompt: string | undefined): Promise<Alias> {
  const path = aliasPath(name)
  const { body } = await context.api<Alias>({ path, query: { prompt } })
  if (typeof body.name !== 'string') throw notPromptsync('alias', path)
  return body
}

/** Throws a `CliError` for what cannot be an alias. */
export function aliasPath(name: string): string {
  return `/aliases/${pathSegment('an alias', name)}`
}

/** The ref of what an alias points to; a dash for nothing, as after its deletion. Pure. */
export function targetOf({ release, version }: Target): string {
  return version ?? release ?? '-'
}

/** A canary as a person would say it. Pure. */
export function shareOf(canary: Target & { percentage: number }): string {
  return `${targetOf(canary)} for ${canary.percentage} %`
}

/** What a person calls an alias. Pure. */
export function nameOf({ name, prompt }: Pick<Alias, 'name' | 'prompt'>): string {
  return prompt === null ? name : `${name} of ${prompt}`
}

/** The option that names a pin, for a command line. Pure. */
export function pinWords(prompt: string | null): string[] {
  return optionWords('--prompt', prompt)
}

/** The header field that has a change refused where the alias is at another revision by now. Pure. */
export function matching(revision: number | null | undefined): Record<string, string | null> {
  return { 'if-match': revision === null || revision === undefined ? null : `"${revision}"` }
}

/** Asks for a move of an alias as it is now, by a path that says which: whoever changed it since it was looked at wins. */
export async function requestMove<Operation extends 'rollbackAlias' | 'promoteCanary'>(
  context: Context,
  { name, path }: { name: string; path: string },
  { prompt, reason }: { prompt?: string; reason?: string },
): Promise<{ before: Alias; after: AnswerOf<Operation> }> {
  const before = await requireAlias(context, name, prompt)
  const call = { method: 'POST', path, query: { prompt }, headers: matching(before.revision), body: { reason } } as const
  return { before, after: (await context.api<AnswerOf<Operation>>(call)).body }
}
