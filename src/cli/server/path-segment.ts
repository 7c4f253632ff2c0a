import { CliError } from '../exit-codes.js'

/** A name as one segment of a path. Throws a `CliError` for what a path could not carry; `what` is what is named, `an alias` say. */
export function pathSegment(what: string, name: string): string {
  // Whoever sends them takes these out of a path, which is another one then.
  if (name === '' || name === '.' || name === '..') throw new CliError(`"${name}" is not the name of ${what}.`)
  return encodeURIComponent(name)
}
