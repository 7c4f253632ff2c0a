import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { packageVersion } from '../lib/package-version.js'
import { addHelpCommand, topicList } from './commands/help-topics.js'
import { addServerCommands, type Launchers } from './commands/server.js'
import { CliError, exitCodes } from './exit-codes.js'
import type { Outcome } from './run.js'
import { commonOptionsHeading, formatHelp } from './terminal/help.js'
import { examples } from './terminal/help-text.js'
import { withRemedy } from './terminal/output.js'

type Part = { names: readonly string[]; load(): Promise<(program: Command, outcome: Outcome) => void> }

/** The commands over HTTP, in the order of the help. Their modules are loaded where one of them is called. */
export const commandParts: readonly Part[] = [
  { names: ['push', 'pull', 'diff', 'validate'], load: async () => (await import('./commands/files.js')).addFileCommands },
  { names: ['list', 'get', 'render'], load: async () => (await import('./commands/reads.js')).addReadCommands },
  { names: ['alias'], load: async () => (await import('./commands/aliases.js')).addAliasCommands },
  { names: ['canary'], load: async () => (await import('./commands/canaries.js')).addCanaryCommands },
  { names: ['version', 'release'], load: async () => (await import('./commands/releases.js')).addReleaseCommands },
  {
    names: ['init', 'login', 'logout', 'status', 'completion'],
    load: async () => (await import('./commands/setup.js')).addSetupCommands,
  },
  { names: ['source'], load: async () => (await import('./commands/sources.js')).addSourceCommands },
  { names: ['key', 'project'], load: async () => (await import('./commands/access.js')).addAccessCommands },
]

/** The whole command line. `outcome` gets the exit code of the command that runs. */
export function buildProgram(launchers: Launchers, outcome: Outcome): Promise<Command> {
  return assemble(launchers, outcome, commandParts)
}

/** As much of the command line as the arguments need: the part of the command that is called; everything where that is not plain. */
function buildFor([first = '']: readonly string[], launchers: Launchers, outcome: Outcome): Promise<Command> {
  if (withoutParts.has(first)) return assemble(launchers, outcome, [])
  const called = commandParts.find(({ names }) => names.includes(first))
  const needsAll = called === undefined || first === 'completion'
  return assemble(launchers, outcome, needsAll ? commandParts : [called])
}

const withoutParts = new Set(['serve', 'migrate', 'admin', '--version', '-v'])

async function assemble(launchers: Launchers, outcome: Outcome, parts: readonly Part[]): Promise<Command> {
  const program = new Command('promptsync')
    .description('A prompt registry over HTTP: push prompts, move aliases, fetch by name.')
    .version(packageVersion, '-v, --version', 'print the version')
    .configureHelp({ formatHelp, styleTitle: bold })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'promptsync: ')) })
    .showSuggestionAfterError(true)
    .helpCommand(false)
    // So that --version of a command is not that of the program.
    .enablePositionalOptions()
    .addHelpText('after', learnMore)
  for (const { load } of parts) (await load())(program, outcome)
  addServerCommands(program, launchers, outcome)
  addHelpCommand(program)
  addCommonOptions(program)
  program.hook('preAction', refuseUnused)
  for (const command of allCommands(program)) finish(command)
  return program
}

/** Commands that call no server, and so take none of the options for that. */
const withoutCommonOptions = new Set(['serve', 'migrate', 'admin', 'help', 'completion'])

function finish(command: Command): void {
  command
    .exitOverride()
    .helpCommand(false)
    .showHelpAfterError(`See: ${helpCommandOf(command)}`)
  // The commands on the database itself print their own help.
  if (command.name() !== 'admin') command.helpOption('-h, --help', 'print help')
  const isGroup = command.commands.length > 0
  if (isGroup) command.usage('<command> [options]')
  if (!isGroup && !withoutCommonOptions.has(command.name())) addCommonOptions(command)
}

/** What prints the help of a command: `promptsync help alias set`. */
function helpCommandOf(command: Command): string {
  return `promptsync help${pathOf(command)
    .map((name) => ` ${name}`)
    .join('')}`
}

/** The names that lead to a command: `['alias', 'set']`; none for the program itself. */
export function pathOf(command: Command): string[] {
  return command.parent === null ? [] : [...pathOf(command.parent as Command), command.name()]
}

/** The options of whatever calls the server. Before the command they mean the same. */
function addCommonOptions(command: Command): void {
  const add = (option: Option) => command.addOption(option.helpGroup(commonOptionsHeading))
  add(new Option('-p, --project <slug>', 'the project; see: promptsync help project'))
  add(new Option('--json', 'print JSON, for programs'))
  add(new Option('-q, --quiet', 'print data, warnings and errors only'))
  add(new Option('--curl', 'show each request as a curl command, the key masked'))
  add(new Option('--timeout <seconds>', 'wait this long for an answer').argParser(toSeconds))
}

/** An option before a command that does not take it would be ignored without a word. */
function refuseUnused(program: Command, command: Command): void {
  const taken = new Set(command.options.map((option) => option.attributeName()))
  for (const option of program.options) {
    const isGiven = program.getOptionValueSource(option.attributeName()) === 'cli'
    if (isGiven && !taken.has(option.attributeName())) command.error(`error: unknown option '${option.long}'`)
  }
}

/** Every command, those of groups included, in their order. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap((inner) => allCommands(inner as Command))]
}

function toSeconds(value: string): number {
  const seconds = Number(value)
  if (seconds > 0 && seconds <= 86_400) return seconds
  throw new InvalidArgumentError('It takes seconds, more than 0 and at most 86400.')
}

function bold(text: string): string {
  return `\u001b[1m${text}\u001b[22m`
}

function learnMore(): string {
  const started = examples(
    'promptsync init',
    'promptsync push --alias dev',
    'promptsync diff --alias production',
    'promptsync alias set production v1.2.0',
  )
  return `${topicList()}\n${started}\n
Learn more:
  promptsync help <command>      what a command does, with its options and examples
  promptsync help <topic>        one of the topics above`
}

/** Runs the command line. Answers the exit code, or null while it goes on serving. */
export async function runCli(args: string[], launchers: Launchers): Promise<number | null> {
  const outcome: Outcome = { code: exitCodes.ok }
  watchOutput()
  const program = await buildFor(args, launchers, outcome)
  try {
    await program.parseAsync(args.length === 0 ? ['help'] : args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode
    if (!(error instanceof CliError)) throw error
    process.stderr.write(`${withRemedy(error.message, error.remedy)}\n`)
    return error.exitCode
  }
  return outcome.code
}

/**
 * Whoever reads the output may stop reading, `head` say: that is no error, and changes nothing of what the command ends with.
 * Output that is lost otherwise, on a full disk say, is one, whatever the command comes to.
 */
function watchOutput(): void {
  const { stdout, stderr } = process
  for (const stream of [stdout, stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return
      process.exitCode = exitCodes.error
      // What goes wrong with stderr can be told nowhere.
      if (stream === stdout) stderr.write(`promptsync: The output cannot be written: ${error.message}.\n`)
    })
  }
}
