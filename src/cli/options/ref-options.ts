import { type Command, InvalidArgumentError } from 'commander'
import { commitPattern } from '../../lib/names.js'
import { CliError } from '../exit-codes.js'

export type RefOptions = { alias?: string; version?: string; gitCommit?: string }

/** The options that name what is stored. Two of them name two things, in the order that they are given. */
export type GivenRefs = string[]

/**
 * Adds `--alias`, `--version` and `--git-commit` to a command. The list that is answered gets their values in the order of the
 * command line.
 */
export function addRefOptions(command: Command): GivenRefs {
  const given: GivenRefs = []
  const take = (value: string) => {
    given.push(value)
    return value
  }
  command
    .option('--alias <alias>', 'what is stored under this alias', take)
    .option('--version <ref>', 'what is stored as this version or release', take)
    .option('--git-commit <commit>', 'what was pushed from this commit (7 to 40 hex digits)', (value) => take(toCommit(value)))
  return given
}

/** What is shorter may be a label or an alias, and mean another thing. */
function toCommit(value: string): string {
  if (commitPattern.test(value)) return value
  throw new InvalidArgumentError('Write 7 to 40 hex digits of a commit; for anything else there are --version and --alias.')
}

/** The refs that are given. Throws a `CliError` where they are more than can be compared. */
export function refsOf(given: GivenRefs): string[] {
  if (given.length <= 2) return given
  throw new CliError(`${given.length} refs are given.`, {
    remedy: 'Two can be compared with each other, one with the local files.',
  })
}
