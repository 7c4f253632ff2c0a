import type { Command } from 'commander'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { addSubjectOptions, type SubjectOptions } from '../options/subject-options.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { pathSegment } from '../server/path-segment.js'
import { examples } from '../terminal/help-text.js'
import { factsLine, messagesText, showText, usualRef } from '../terminal/prompt-text.js'

type GetOptions = SubjectOptions & { text?: boolean }

export function addGetCommand(program: Command, outcome: Outcome): void {
  const get = program
    .command('get')
    .helpGroup(groups.prompts)
    .summary('print a prompt as an application gets it')
    .description(
      'Prints the content of a prompt, the template as it is stored; what is known about it goes to stderr. See promptsync render ' +
        'for it filled in.',
    )
    .argument('<name>', 'the prompt')
    .argument('[ref]', `an alias, version, release, label or commit (default: ${usualRef})`)
  addSubjectOptions(get)
    .option('--text', 'the content alone, byte for byte, even on a terminal; a chat prompt has none')
    .addHelpText(
      'after',
      examples(
        'promptsync get customer_support',
        'promptsync get customer_support v1.2.0 --tag locale:cn --tag tone:friendly',
        'promptsync get customer_support --key user-42 --json',
      ),
    )
    .action(action<GetOptions>(outcome, runGet))
}

async function runGet(context: Context, [name = '', ref = usualRef]: string[], options: GetOptions): Promise<void> {
  const { output } = context
  const { tag = {}, key, canary } = options
  const { body } = await context.api<AnswerOf<'fetchPrompt'>>({
    path: `/prompts/${pathSegment('a prompt', name)}/${pathSegment('a ref', ref)}`,
    query: { tag: Object.entries(tag).map((pair) => pair.join(':')), key, canary: canary === false ? 'off' : undefined },
  })
  if (context.options.json) return output.json(body)
  if (options.text) return output.data(contentOf(body))
  output.note(factsLine(body))
  showText(context, body.messages ? messagesText(body.messages) : contentOf(body))
}

function contentOf({ name, content }: AnswerOf<'fetchPrompt'>): string {
  if (content !== null) return content
  throw new CliError(`"${name}" is a chat prompt: it has messages, and no text.`, {
    remedy: 'Leave --text out, or print --json.',
  })
}
