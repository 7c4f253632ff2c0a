import type { Command, Help, Option } from 'commander'
import { groups } from '../groups.js'

/** The options of every command stand below a heading of their own. */
export const commonOptionsHeading = 'Options of every command:'

/** What a command is for, then how it is called, then what there is to choose from: the order in which a reader asks. */
export function formatHelp(command: Command, help: Help): string {
  const parts = [
    help.boxWrap(command.description(), help.helpWidth ?? 80),
    section(help, 'Usage:', [`  ${help.commandUsage(command)}`]),
    ...commandSections(command, help),
    section(help, 'Arguments:', argumentLines(command, help)),
    ...optionSections(command, help),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function section(help: Help, title: string, lines: string[]): string {
  return lines.length === 0 ? '' : [help.styleTitle(title), ...lines].join('\n')
}

/** The commands of a command below their groups, in the order of the groups. */
function commandSections(command: Command, help: Help): string[] {
  const visible = help.visibleCommands(command)
  const titles = [...new Set([...Object.values(groups), ...visible.map((inner) => groupOf(inner))])]
  const width = Math.max(0, ...visible.map((inner) => inner.name().length))
  return titles.map((title) => {
    const members = visible.filter((inner) => groupOf(inner) === title)
    return section(
      help,
      title,
      members.map((inner) => help.formatItem(inner.name(), width, inner.summary() || inner.description(), help)),
    )
  })
}

function groupOf(command: Command): string {
  return command.helpGroup() || 'Commands:'
}

function argumentLines(command: Command, help: Help): string[] {
  const shown = help.visibleArguments(command)
  const width = Math.max(0, ...shown.map((argument) => argument.name().length))
  return shown.map((argument) => help.formatItem(argument.name(), width, help.argumentDescription(argument), help))
}

function optionSections(command: Command, help: Help): string[] {
  const visible = help.visibleOptions(command)
  const width = Math.max(0, ...visible.map((option) => option.flags.length))
  const isCommon = (option: Option) => option.helpGroupHeading === commonOptionsHeading || option.long === '--help'
  const line = (option: Option) => help.formatItem(option.flags, width, help.optionDescription(option), help)
  return [
    section(help, 'Options:', visible.filter((option) => !isCommon(option)).map(line)),
    section(help, commonOptionsHeading, visible.filter(isCommon).map(line)),
  ]
}
