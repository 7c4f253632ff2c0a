import { mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { CliError } from '../exit-codes.js'
import { writeWholeFile } from '../local/whole-file.js'

/** Keys by the address of their service, and the service that was logged in to last. */
export type Logins = { current: string | null; tokens: Record<string, string> }

/** `login.json` among the user's settings: below XDG_CONFIG_HOME, %APPDATA% or ~/.config. */
export function loginFile(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CONFIG_HOME || env.APPDATA || join(homedir(), '.config'), 'promptsync', 'login.json')
}

/** Throws a `CliError` where the file is there and cannot be read. It never quotes the file: there are keys in it. */
export function readLogins(env: NodeJS.ProcessEnv): Logins {
  const file = loginFile(env)
  try {
    const { current, tokens } = (JSON.parse(readFileSync(file, 'utf8')) ?? {}) as { current?: unknown; tokens?: unknown }
    return {
      current: typeof current === 'string' ? current : null,
      tokens: Object.fromEntries(Object.entries(tokens ?? {}).filter((entry) => typeof entry[1] === 'string')),
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return { current: null, tokens: {} }
    throw new CliError(`The login file ${file} cannot be read: ${code ?? 'it is no JSON'}.`, {
      remedy: 'Correct it, or remove it and log in again: promptsync login',
      cause: error,
    })
  }
}

/** Replaces the file as a whole; nobody but its owner may ever read it. */
export function writeLogins(env: NodeJS.ProcessEnv, logins: Logins): void {
  const file = loginFile(env)
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeWholeFile(file, `${JSON.stringify(logins, null, 2)}\n`, { mode: 0o600 })
  } catch (error) {
    throw new CliError(`The login file ${file} cannot be written: ${(error as Error).message}`, {
      remedy: 'Make its folder writable, or set PROMPTSYNC_TOKEN instead.',
      cause: error,
    })
  }
}
