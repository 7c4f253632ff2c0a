import type { Command } from 'commander'
import { didYouMean } from '../../lib/suggest.js'
import { exitCodesHelp } from '../exit-codes.js'
import { groups } from '../groups.js'
import { examples } from '../terminal/help-text.js'

type Topic = { summary: string; text: string }

const projectHelp = `How the project is found

Every command works on one project. The first of these that names one counts; "promptsync status" says which it was.

  1. --project SLUG
  2. the environment variable PROMPTSYNC_PROJECT
  3. "project" in the settings: promptsync.config.ts, .js, .mjs, .json, .yaml or .yml, else "promptsync" in package.json,
     else [tool.promptsync] in pyproject.toml
  4. the name in pyproject.toml or package.json
  5. the name of the Git repository: that of its remote, else that of its folder
  6. none: the server takes the project of the key, else the project "default"

Files are looked for in the current folder and those above it, up to the root of the Git repository and no further;
outside of a repository in the current folder only. The nearest folder with settings counts, and in it one file only.

A name becomes a slug: "@acme/Support Bot" names the project support-bot.
`

const environmentHelp = `Environment variables

  PROMPTSYNC_URL       the address of the server; by default that of the last login, else http://127.0.0.1:3000
  PROMPTSYNC_TOKEN     the key; by default the one that a login stored for that address. There is no option for it: other
                       users of a machine can read the arguments of commands
  PROMPTSYNC_PROJECT   the project; see: promptsync help project
  NO_COLOR             anything but an empty value turns colours off
  FORCE_COLOR          turns colours on where there is no terminal; 0 turns them off
  XDG_CONFIG_HOME      where the login file lies: promptsync/login.json in it; by default ~/.config

The server reads others: see README.md.
`

const filesHelp = `Files

  promptsync.config.yaml   the settings of a project; .ts, .js, .mjs and .json work as well:
                             project: support-bot    the project's slug
                             path: prompts           the folder of prompts, from this file
                             alias: dev              what a push moves, and what local files are compared with
                             template: jinja         or none, where texts are sent as they are
  prompts/                 one prompt a file: .txt, .md, .j2, .jinja, .yaml, .yml, .prompt.yml, .prompt.yaml or .prompty. The
                           path without the ending is the name: prompts/meeting/notes.md is meeting/notes
  .promptsyncignore        which files are left out, written like a .gitignore; hidden files, node_modules and READMEs always are
  login.json               keys by the address of their server, readable by you alone; see: promptsync help environment
`

const topics: Record<string, Topic> = {
  project: { summary: 'how the project is found', text: projectHelp },
  environment: { summary: 'the variables that commands read', text: environmentHelp },
  files: { summary: 'the files that commands read and write', text: filesHelp },
  'exit-codes': { summary: 'what commands end with', text: exitCodesHelp },
}

export const helpTopics: Readonly<Record<string, Readonly<Topic>>> = topics

/** The topics below a heading, for the help of the program. */
export function topicList(): string {
  const width = Math.max(...Object.keys(topics).map((name) => name.length))
  const lines = Object.entries(topics).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return `\nHelp topics:\n${lines.join('\n')}`
}

/** `promptsync help [COMMAND | TOPIC]`. */
export function addHelpCommand(program: Command): void {
  program
    .command('help')
    .helpGroup(groups.setup)
    .summary('help on a command or a topic')
    .description('Prints the help of a command, or of a topic.')
    .argument('[command...]', 'a command with its subcommand, or a topic')
    .addHelpText('after', topicList)
    .addHelpText('after', examples('promptsync help alias set', 'promptsync help exit-codes'))
    .action((path: string[]) => {
      const topic = path.length === 1 && Object.hasOwn(topics, path[0] ?? '') ? topics[path[0] ?? ''] : undefined
      if (topic) process.stdout.write(topic.text)
      else findCommand(program, path).outputHelp()
    })
}

function findCommand(program: Command, path: string[]): Command {
  return path.reduce((command, name, index) => {
    const names = command.commands.map((inner) => inner.name())
    const found = command.commands.find((inner) => inner.name() === name)
    if (found) return found as Command
    const known = index === 0 ? [...names, ...Object.keys(topics)] : names
    return command.error(`error: unknown command '${path.slice(0, index + 1).join(' ')}'.${didYouMean(name, known)}`)
  }, program)
}
