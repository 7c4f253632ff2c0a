import type { Context } from '../context.js'

/**
 * A command of promptsync as it can be pasted into a shell: odd words quoted, what is null or undefined left out, and the project
 * named where `--project` named it here. Pure.
 */
export function commandLine({ options }: Pick<Context, 'options'>, ...words: (string | null | undefined)[]): string {
  return plainCommandLine(...words, ...optionWords('--project', options.project))
}

/** The same for what concerns no project, or names it itself. Pure. */
export function plainCommandLine(...words: (string | null | undefined)[]): string {
  return ['promptsync', ...words.filter((word) => word !== null && word !== undefined).map(shellWord)].join(' ')
}

/** An option with its value, or nothing where there is no value. Pure. */
export function optionWords(option: string, value: string | null | undefined): string[] {
  return value === null || value === undefined ? [] : [option, value]
}

/** One word of a command line of sh, in quotes where it needs any. Pure. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
