import type { Command } from 'commander'
import type { Outcome } from '../run.js'
import { addDiffCommand } from './diff.js'
import { addPullCommand } from './pull.js'
import { addPushCommand } from './push.js'
import { addValidateCommand } from './validate.js'

/** What works on the prompt files of a folder. */
export function addFileCommands(program: Command, outcome: Outcome): void {
  addPushCommand(program, outcome)
  addPullCommand(program, outcome)
  addDiffCommand(program, outcome)
  addValidateCommand(program, outcome)
}
