import { type Command, InvalidArgumentError } from 'commander'

/** For whom a prompt is asked: tags choose a variant, the key stays on its side of a canary. */
export type SubjectOptions = { tag?: Record<string, string>; key?: string; canary?: boolean }

/** Adds `--tag`, `--key` and `--no-canary` to a command that asks for one prompt. */
export function addSubjectOptions(command: Command): Command {
  return command
    .option('--tag <tag:value>', 'choose a variant, locale:cn say; repeatable', takeTag)
    .option('--key <key>', 'the subject: the same key stays on its side of a canary')
    .option('--no-canary', 'ignore a running canary')
}

function takeTag(given: string, before: Record<string, string> = {}): Record<string, string> {
  const colon = given.indexOf(':')
  if (colon < 1 || colon === given.length - 1) throw new InvalidArgumentError('Write tag:value, locale:cn say.')
  const [tag, value] = [given.slice(0, colon), given.slice(colon + 1)]
  if (Object.hasOwn(before, tag)) throw new InvalidArgumentError(`The tag "${tag}" is given twice.`)
  return Object.fromEntries([...Object.entries(before), [tag, value]])
}
