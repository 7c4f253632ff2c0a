import type { Command } from 'commander'
import type { Outcome } from '../run.js'
import { addGetCommand } from './get.js'
import { addListCommand } from './list.js'
import { addRenderCommand } from './render.js'

/** What shows prompts as they are stored. */
export function addReadCommands(program: Command, outcome: Outcome): void {
  addListCommand(program, outcome)
  addGetCommand(program, outcome)
  addRenderCommand(program, outcome)
}
