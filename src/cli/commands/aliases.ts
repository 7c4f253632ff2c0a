import type { Command } from 'commander'
import { PromptsyncError } from '../../client/problem.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import {
  type Alias,
  aliasPath,
  matching,
  nameOf,
  pinOption,
  pinWords,
  reasonOption,
  requestMove,
  requireAlias,
  shareOf,
  targetOf,
} from '../server/aliases.js'
import type { AnswerOf } from '../server/api.js'
import { addLimitOption, type LimitOption, readList, timeCell } from '../server/lists.js'
import { commandLine } from '../terminal/command-line.js'
import { requireYes } from '../terminal/confirm.js'
import { examples } from '../terminal/help-text.js'
import { type Told, tell } from '../terminal/tell.js'

type SetOptions = { version?: string; prompt?: string; reason?: string; ifRevision?: string; dryRun?: boolean }
type PromptOption = { prompt?: string }

/** `promptsync alias …`: which release, or which version of one prompt, a name points to. */
export function addAliasCommands(program: Command, outcome: Outcome): void {
  const alias = program
    .command('alias')
    .helpGroup(groups.rollout)
    .summary('move names that point to releases, and roll them back')
    .description('Moves the names that applications ask for. An alias points to a release, so that all prompts move together.')
  addSet(alias, outcome)
  addLooks(alias, outcome)
  addRollback(alias, outcome)
  addDelete(alias, outcome)
}

function addSet(alias: Command, outcome: Outcome): void {
  alias
    .command('set')
    .summary('point an alias to a release')
    .description(
      'Points an alias to a release, or, with --prompt, pins one prompt to a version. An alias that is not there is made.',
    )
    .argument('<alias>', 'the alias, production say')
    .argument('[version]', 'what it is to point to: a number, label, commit, latest, or another alias, whose target is taken')
    .option('--version <ref>', 'the same as an option')
    .option('--prompt <name>', 'move the pin of this prompt, not the alias of the whole project')
    .option(...reasonOption)
    .option('--if-revision <number>', 'move it only from this revision; exit code 5 where it would move from another')
    .option('--dry-run', 'tell what would change, and change nothing')
    .addHelpText(
      'after',
      examples(
        'promptsync alias set production v1.2.0',
        'promptsync alias set production --version $(promptsync version get dev)',
        'promptsync alias set production v3 --prompt customer_support',
      ),
    )
    .action(action<SetOptions>(outcome, setAlias))
}

function addLooks(alias: Command, outcome: Outcome): void {
  const list = alias
    .command('list')
    .summary('list aliases and pins')
    .description('Lists the aliases of the project, with what they point to, and the pins of single prompts.')
    .option('--prompt <name>', 'the pins of this prompt only')
    .addHelpText('after', examples('promptsync alias list', 'promptsync alias list --json'))
    .action(action<PromptOption & LimitOption>(outcome, listAliases))
  const history = alias
    .command('history')
    .summary('list every change of an alias, newest first')
    .description('Lists every change of an alias, newest first: who moved it where, when and why. It outlives the alias.')
    .argument('<alias>', 'the alias, production say')
    .option(...pinOption)
    .addHelpText('after', examples('promptsync alias history production', 'promptsync alias history production --limit 5'))
    .action(action<PromptOption & LimitOption>(outcome, listMoves))
  addLimitOption(list)
  addLimitOption(history)
}

function addRollback(alias: Command, outcome: Outcome): void {
  alias
    .command('rollback')
    .summary('take the last move back, or end a running canary')
    .description('Points an alias to where it pointed before. While a canary runs, it ends that and moves nothing.')
    .argument('<alias>', 'the alias, production say')
    .option(...pinOption)
    .option(...reasonOption)
    .addHelpText(
      'after',
      examples('promptsync alias rollback production', 'promptsync alias rollback production --reason "Too long"'),
    )
    .action(action<PromptOption & { reason?: string }>(outcome, rollbackAlias))
}

function addDelete(alias: Command, outcome: Outcome): void {
  alias
    .command('delete')
    .summary('remove an alias')
    .description('Removes an alias: whoever asks for it gets an error. Its history stays.')
    .argument('<alias>', 'the alias')
    .option(...pinOption)
    .option('-y, --yes', 'do not ask first')
    .addHelpText(
      'after',
      examples('promptsync alias delete staging', 'promptsync alias delete production --prompt greeting --yes'),
    )
    .action(action<PromptOption & { yes?: boolean }>(outcome, deleteAlias))
}

async function setAlias(context: Context, [name = '', positional]: string[], options: SetOptions): Promise<void> {
  const { prompt, reason, dryRun } = options
  const version = versionOf(positional, options.version)
  const before = await findAlias(context, name, prompt)
  const { body: after, status } = await context.api<AnswerOf<'moveAlias'>>({
    method: 'PUT',
    path: aliasPath(name),
    // Whoever moved it since it was looked at wins: this move was decided on before.
    headers: matching(options.ifRevision === undefined ? before?.revision : toRevision(options.ifRevision)),
    body: { version, prompt, reason, dryRun },
  })
  if (context.options.json) return context.output.json(after)
  tell(context, toldMove(context, { before, after, isNew: status === 201 }, options))
}

/** An empty one is what `$(…)` leaves of a command that failed. */
function versionOf(positional: string | undefined, option: string | undefined): string {
  if (positional !== undefined && option !== undefined && positional !== option)
    throw new CliError(`It is said twice what the alias is to point to: "${positional}" and "${option}".`, {
      remedy: 'Say it once.',
    })
  const version = positional ?? option
  if (version) return version
  throw new CliError(
    version === undefined ? 'It is not said what the alias is to point to.' : 'What the alias is to point to is empty.',
    { remedy: 'promptsync alias set ALIAS VERSION' },
  )
}

function toRevision(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new CliError(`"${text}" is no revision.`, { remedy: 'Take the number that promptsync alias list shows.' })
}

async function findAlias(context: Context, name: string, prompt: string | undefined): Promise<Alias | null> {
  try {
    return await requireAlias(context, name, prompt)
  } catch (error) {
    if (error instanceof PromptsyncError && error.code === 'alias.not_found') return null
    throw error
  }
}

type Move = { before: Alias | null; after: AnswerOf<'moveAlias'>; isNew: boolean }

function toldMove(context: Context, { before, after, isNew }: Move, { dryRun }: SetOptions): Told {
  const name = nameOf(after)
  const to = targetOf(after)
  // Where a move would be made, a dry run answers no revision.
  if (before !== null && after.revision === before.revision) return { done: `${name} points to ${to} already. Nothing changed.` }
  const { warnings } = after
  const way = before === null ? `${name}, pointing to ${to}` : `${name} from ${targetOf(before)} to ${to}`
  if (dryRun) return { done: `Would ${before === null ? 'make' : 'move'} ${way}.`, warnings, next: ['Nothing was changed.'] }
  const undo = commandLine(context, 'alias', isNew ? 'delete' : 'rollback', after.name, ...pinWords(after.prompt))
  // It may not have been there when it was looked for, and yet be somebody else's by the time it moves.
  const verb = isNew ? 'Made' : 'Moved'
  return { done: `${verb} ${way} (revision ${after.revision}).`, warnings, next: [`Undo: ${undo}`] }
}

async function listAliases(context: Context, _args: string[], { prompt, limit }: PromptOption & LimitOption): Promise<void> {
  const page = await readList<Alias>(context, { path: '/aliases', query: { prompt }, limit })
  const { output, options } = context
  if (options.json) return output.json(page)
  if (page.items.length === 0)
    return output.note(`There are none. Make one: ${commandLine(context, 'alias', 'set', 'production', 'latest')}`)
  output.table(
    ['alias', 'points to', 'revision', 'canary', 'prompt', 'changed'],
    page.items.map((alias) => [
      alias.name,
      targetOf(alias),
      String(alias.revision),
      canaryCell(alias.canary),
      alias.prompt ?? '',
      timeCell(context, alias.updatedAt),
    ]),
  )
}

function canaryCell(canary: Parameters<typeof shareOf>[0] | null): string {
  return canary === null ? '' : shareOf(canary)
}

async function listMoves(context: Context, [name = '']: string[], { prompt, limit }: PromptOption & LimitOption): Promise<void> {
  const path = `${aliasPath(name)}/history`
  const page = await readList<AnswerOf<'listAliasMoves'>['items'][number]>(context, { path, query: { prompt }, limit })
  if (context.options.json) return context.output.json(page)
  context.output.table(
    ['revision', 'change', 'points to', 'canary', 'by', 'when', 'reason'],
    page.items.map((move) => [
      String(move.revision),
      move.action,
      targetOf(move),
      canaryCell(move.canary),
      move.actor,
      timeCell(context, move.createdAt),
      move.reason ?? '',
    ]),
  )
}

async function rollbackAlias(
  context: Context,
  [name = '']: string[],
  options: PromptOption & { reason?: string },
): Promise<void> {
  const { before, after } = await requestMove<'rollbackAlias'>(context, { name, path: `${aliasPath(name)}/rollback` }, options)
  if (context.options.json) return context.output.json(after)
  tell(context, toldRollback(context, before, after))
}

function toldRollback(context: Context, before: Alias, after: AnswerOf<'rollbackAlias'>): Told {
  const { canary } = before
  const pin = pinWords(after.prompt)
  const name = nameOf(after)
  const revision = `(revision ${after.revision})`
  if (canary) {
    const undo = commandLine(context, 'canary', 'set', after.name, targetOf(canary), String(canary.percentage), ...pin)
    const done = `Ended the canary of ${name}, ${shareOf(canary)}. It points to ${targetOf(after)} as before ${revision}.`
    return { done, next: [`Undo: ${undo}`] }
  }
  const done = `Rolled ${name} back from ${targetOf(before)} to ${targetOf(after)} ${revision}.`
  const undo = commandLine(context, 'alias', 'set', after.name, targetOf(before), ...pin)
  return { done, warnings: after.warnings, next: [`Undo: ${undo}`] }
}

async function deleteAlias(context: Context, [name = '']: string[], options: PromptOption & { yes?: boolean }): Promise<void> {
  const { prompt } = options
  const before = await requireAlias(context, name, prompt)
  const target = targetOf(before)
  await requireYes(
    context,
    `Delete ${nameOf(before)}, which points to ${target}? Whoever asks for it gets an error then.`,
    options,
  )
  const { body: after } = await context.api<AnswerOf<'deleteAlias'>>({
    method: 'DELETE',
    path: aliasPath(name),
    query: { prompt },
    headers: matching(before.revision),
  })
  if (context.options.json) return context.output.json(after)
  const { canary } = before
  const pin = pinWords(before.prompt)
  const next = [`Undo: ${commandLine(context, 'alias', 'set', before.name, target, ...pin)}`]
  if (canary) {
    const start = commandLine(context, 'canary', 'set', before.name, targetOf(canary), String(canary.percentage), ...pin)
    next.push(`And for the canary: ${start}`)
  }
  tell(context, { done: `Deleted ${nameOf(before)}, which pointed to ${target}${canary ? ', and its canary' : ''}.`, next })
}
