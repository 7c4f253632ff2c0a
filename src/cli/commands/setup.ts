import type { Command } from 'commander'
import type { Outcome } from '../run.js'
import { addCompletionCommand } from './completion.js'
import { addInitCommand } from './init.js'
import { addLoginCommands } from './login.js'
import { addStatusCommand } from './status.js'

/** What a person runs first, and to see where things stand. */
export function addSetupCommands(program: Command, outcome: Outcome): void {
  addInitCommand(program, outcome)
  addLoginCommands(program, outcome)
  addStatusCommand(program, outcome)
  addCompletionCommand(program)
}
