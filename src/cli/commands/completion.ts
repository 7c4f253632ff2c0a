import { Argument, type Command } from 'commander'
import { groups } from '../groups.js'
import type { Shell } from '../terminal/completion.js'
import { examples } from '../terminal/help-text.js'
import { helpTopics } from './help-topics.js'

const shells: Shell[] = ['bash', 'zsh', 'fish']

/** `promptsync completion SHELL`: a script that completes commands, options and their choices. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .helpGroup(groups.setup)
    .summary('a script that completes commands in bash, zsh or fish')
    .description('Prints a script that completes commands, options and their choices.')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText(
      'after',
      examples(
        'source <(promptsync completion bash)    # in ~/.bashrc',
        'source <(promptsync completion zsh)     # in ~/.zshrc, after compinit',
        'promptsync completion fish > ~/.config/fish/completions/promptsync.fish',
      ),
    )
    .action(async (shell: Shell) => {
      const { completionScript } = await import('../terminal/completion.js')
      process.stdout.write(completionScript(shell, program, Object.keys(helpTopics)))
    })
}
