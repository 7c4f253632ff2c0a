import type { Command } from 'commander'
import type { Outcome } from '../run.js'
import { addKeyCommands } from './keys.js'
import { addProjectCommands } from './projects.js'

/** `promptsync key …` and `promptsync project …`: who may do what, and where. */
export function addAccessCommands(program: Command, outcome: Outcome): void {
  addKeyCommands(program, outcome)
  addProjectCommands(program, outcome)
}
