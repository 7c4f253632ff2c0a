import type { Context } from '../context.js'

/** What a command did: a sentence, what is to be minded about it, and the commands that undo it or go on from it. */
export type Told = { done: string; warnings?: readonly string[]; next?: readonly string[] }

/** Says on stderr what a command did. */
export function tell({ output }: Pick<Context, 'output'>, { done, warnings = [], next = [] }: Told): void {
  output.note(done)
  for (const warning of warnings) output.warn(`Warning: ${warning}`)
  for (const line of next) output.note(line)
}
