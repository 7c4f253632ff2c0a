import { type Command, Option } from 'commander'

export type TemplateOption = { template?: 'jinja' | 'none' }

/** Adds `--template` to a command that reads prompt files. */
export function addTemplateOption(command: Command): Command {
  const option = new Option('--template <language>', 'the language of files that do not say; none for text that is sent as it is')
  return command.addOption(option.choices(['jinja', 'none']))
}
