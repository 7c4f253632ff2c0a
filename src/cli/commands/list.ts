import type { Command } from 'commander'
import type { Context } from '../context.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { addLimitOption, type LimitOption, readList } from '../server/lists.js'
import { examples } from '../terminal/help-text.js'

type Prompt = AnswerOf<'listPrompts'>['items'][number]
type ListOptions = LimitOption & { search?: string; label?: string }

export function addListCommand(program: Command, outcome: Outcome): void {
  const list = program
    .command('list')
    .helpGroup(groups.prompts)
    .summary('list the prompts of the project')
    .description('Lists the prompts of the project with their newest version and the version that each alias gives.')
    .option('--search <text>', 'a part of the name, title or description, in any case')
    .option('--label <label>', 'only prompts with this label')
  addLimitOption(list)
    .addHelpText(
      'after',
      examples('promptsync list', 'promptsync list --search support', 'promptsync list --label billing --json'),
    )
    .action(action<ListOptions>(outcome, runList))
}

async function runList(context: Context, _args: string[], { search, label, limit }: ListOptions): Promise<void> {
  const { output, options } = context
  const page = await readList<Prompt>(context, {
    path: '/prompts',
    query: { search, label },
    ...(limit === undefined ? {} : { limit }),
  })
  if (options.json) return output.json(page)
  output.table(
    ['prompt', 'latest', 'aliases', 'title'],
    page.items.map(({ name, latest, aliases, title }) => [name, latest?.version ?? '', aliasCell(aliases), title ?? '']),
  )
  if (page.items.length === 0)
    output.note(search || label ? 'No prompt fits.' : 'There are no prompts yet. Push some: promptsync push')
}

/** A pin is an alias of its own. */
function aliasCell(aliases: Prompt['aliases']): string {
  return aliases.map(({ name, version, pinned }) => `${name}=${version}${pinned ? ' (pinned)' : ''}`).join(' ')
}
