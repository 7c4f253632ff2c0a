import { CliError } from '../exit-codes.js'

/** The error for another service that answers JSON of its own; `what` was asked for at `path`. */
export function notPromptsync(what: 'list' | 'alias', path: string): CliError {
  return new CliError(`The server answered no ${what} to ${path}: it is not promptsync, or not of this version.`, {
    remedy: 'Check the address: promptsync status',
  })
}
