// Writes the commands of docs/cli.md from the command line itself; with --check it only compares, and fails when they are not current.
import { readFileSync, writeFileSync } from 'node:fs'
import { helpTopics } from '../src/cli/commands/help-topics.ts'
import { allCommands, buildProgram, pathOf } from '../src/cli/program.ts'

const file = 'docs/cli.md'
const mark = '<!-- What follows is written by npm run docs:cli. -->\n'
const columns = 100

/** The page with its commands as they should be; everything before the mark is kept. */
export async function withCommands(page) {
  return `${page.slice(0, page.indexOf(mark))}${mark}\n${await commandSections()}\n${topicSections()}`
}

const none = async () => null

/** The program as `promptsync help` has it, without what it would launch. */
export function documentedProgram() {
  return buildProgram({ serve: none, migrate: none, admin: none }, { code: 0 })
}

async function commandSections() {
  const shown = allCommands(await documentedProgram()).filter((command) => command.commands.length === 0)
  return shown
    .map((command) => `## promptsync ${pathOf(command).join(' ')}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`)
    .join('\n')
}

/** Options of every command are told once, at the top of the page. */
function helpOf(command) {
  let text = ''
  const write = (part) => (text += part)
  const plain = { getOutHasColors: () => false, getOutHelpWidth: () => columns }
  command.configureOutput({ writeOut: write, ...plain }).outputHelp()
  return text.replace(/\nOptions of every command:\n(?: .*\n)+/, '').trim()
}

function topicSections() {
  return Object.entries(helpTopics)
    .map(([name, { text }]) => `## promptsync help ${name}\n\n\`\`\`text\n${text.trim()}\n\`\`\`\n`)
    .join('\n')
}

if (process.argv[1]?.endsWith('write-cli.mjs')) {
  const page = readFileSync(file, 'utf8')
  const wanted = await withCommands(page)
  if (!process.argv.includes('--check')) writeFileSync(file, wanted)
  else if (wanted !== page) {
    process.stderr.write(`${file} is not current. Run: npm run docs:cli\n`)
    process.exit(1)
  }
}
