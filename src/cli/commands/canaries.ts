import type { Command } from 'commander'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import {
  type Alias,
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
import { pathSegment } from '../server/path-segment.js'
import { commandLine } from '../terminal/command-line.js'
import { examples } from '../terminal/help-text.js'
import { type Told, tell } from '../terminal/tell.js'

type Canary = AnswerOf<'setCanary'>
type PromptOption = { prompt?: string }
type SetOptions = PromptOption & { alias?: string; version?: string; percentage?: string; reason?: string }

/** `promptsync canary …`: another release for a share of those who ask for an alias. */
export function addCanaryCommands(program: Command, outcome: Outcome): void {
  const canary = program
    .command('canary')
    .helpGroup(groups.rollout)
    .summary('try a release on a share of subjects')
    .description('Gives a share of those who ask for an alias another release. A subject keeps its side while the share rises.')
  addSet(canary, outcome)
  const list = canary
    .command('list')
    .summary('list the canaries that run')
    .description('Lists the canaries that run in the project.')
    .option('--prompt <name>', 'those of the pins of this prompt only')
    .addHelpText('after', examples('promptsync canary list'))
    .action(action<PromptOption & LimitOption>(outcome, listCanaries))
  addLimitOption(list)
  canary
    .command('promote')
    .summary('give everyone what the canary gives')
    .description('Points the alias to what its canary points to, for everyone, and ends the canary.')
    .argument('<alias>', 'the alias, production say')
    .option(...pinOption)
    .option(...reasonOption)
    .addHelpText('after', examples('promptsync canary promote production'))
    .action(action<PromptOption & { reason?: string }>(outcome, promoteCanary))
  canary
    .command('delete')
    .summary('end a canary')
    .description('Ends a canary: everyone gets what the alias points to.')
    .argument('<alias>', 'the alias, production say')
    .option(...pinOption)
    .addHelpText('after', examples('promptsync canary delete production'))
    .action(action<PromptOption>(outcome, deleteCanary))
}

function addSet(canary: Command, outcome: Outcome): void {
  canary
    .command('set')
    .summary('start a canary, or change its share or its target')
    .description('Gives a share of subjects another release, or, with --prompt, another version of that prompt.')
    .argument('[alias]', 'the alias, production say; it is there already')
    .argument('[version]', 'what the share is to get: a number, label, commit, latest, or another alias, whose target is taken')
    .argument('[percentage]', 'the share: 0.01 to 100, with two decimals at most')
    .option('--alias <alias>', 'the alias as an option')
    .option('--version <ref>', 'what the share is to get, as an option')
    .option('--percentage <number>', 'the share as an option')
    .option(...pinOption)
    .option(...reasonOption)
    .addHelpText(
      'after',
      examples(
        'promptsync canary set production v2.0.0 10',
        'promptsync canary set --alias production --version v2.0.0 --percentage 50',
      ),
    )
    .action(action<SetOptions>(outcome, setCanary))
}

async function setCanary(context: Context, args: string[], options: SetOptions): Promise<void> {
  const { prompt, reason } = options
  const alias = givenOnce('alias', args[0], options.alias)
  const version = givenOnce('version', args[1], options.version)
  const percentage = await toPercentage(givenOnce('percentage', args[2], options.percentage))
  const before = await requireAlias(context, alias, prompt)
  const { body: after } = await context.api<Canary>({
    path: '/canary',
    headers: matching(before.revision),
    body: { alias, version, percentage, prompt, reason },
  })
  if (context.options.json) return context.output.json(after)
  tell(context, toldSet(context, before, after))
}

/** What stands at its place or as an option, but not as both. */
function givenOnce(what: string, positional: string | undefined, option: string | undefined): string {
  if (positional !== undefined && option !== undefined && positional !== option)
    throw new CliError(`The ${what} is given twice: "${positional}" and "${option}".`, { remedy: 'Give it once.' })
  const given = positional ?? option
  if (given) return given
  throw new CliError(given === undefined ? `The ${what} is missing.` : `The ${what} is empty.`, {
    remedy: 'promptsync canary set ALIAS VERSION PERCENTAGE',
  })
}

async function toPercentage(text: string): Promise<number> {
  const { isPercentage } = await import('../../lib/canary.js')
  const match = /^(\d{1,3}(?:\.\d{1,9})?)\s?%?$/.exec(text)
  if (match && isPercentage(Number(match[1]))) return Number(match[1])
  throw new CliError(`"${text}" is no percentage of a canary.`, {
    remedy: 'Give a number from 0.01 to 100, with two decimals at most.',
  })
}

function toldSet(context: Context, before: Alias, after: Canary): Told {
  const name = nameOf(before)
  if (after.revision === before.revision)
    return { done: `The canary of ${name} gives ${shareOf(after)} already. Nothing changed.` }
  const { canary } = before
  const pin = pinWords(after.prompt)
  const undo = canary ? startLine(context, before, canary) : commandLine(context, 'canary', 'delete', after.alias, ...pin)
  const done = canary
    ? `Changed the canary of ${name} from ${shareOf(canary)} to ${shareOf(after)} (revision ${after.revision}).`
    : `Started a canary on ${name}: ${shareOf(after)} (revision ${after.revision}).`
  return { done, next: [`Undo: ${undo}`, `For everyone: ${commandLine(context, 'canary', 'promote', after.alias, ...pin)}`] }
}

/** The command that starts a canary as it was. */
function startLine(context: Context, { name, prompt }: Alias, canary: NonNullable<Alias['canary']>): string {
  return commandLine(context, 'canary', 'set', name, targetOf(canary), String(canary.percentage), ...pinWords(prompt))
}

async function listCanaries(context: Context, _args: string[], { prompt, limit }: PromptOption & LimitOption): Promise<void> {
  const page = await readList<Canary>(context, { path: '/canary', query: { prompt }, limit })
  const { output, options } = context
  if (options.json) return output.json(page)
  if (page.items.length === 0) return output.note('No canary runs.')
  output.table(
    ['alias', 'canary', 'percentage', 'prompt', 'since'],
    page.items.map((canary) => [
      canary.alias,
      targetOf(canary),
      String(canary.percentage),
      canary.prompt ?? '',
      timeCell(context, canary.startedAt),
    ]),
  )
}

async function promoteCanary(
  context: Context,
  [name = '']: string[],
  options: PromptOption & { reason?: string },
): Promise<void> {
  const { before, after } = await requestMove<'promoteCanary'>(context, { name, path: `${canaryPath(name)}/promote` }, options)
  if (context.options.json) return context.output.json(after)
  const next = [`Undo: ${commandLine(context, 'alias', 'rollback', after.name, ...pinWords(after.prompt))}`]
  if (before.canary) next.push(`And for the canary: ${startLine(context, before, before.canary)}`)
  const done = `Moved ${nameOf(after)} from ${targetOf(before)} to ${targetOf(after)} for everyone (revision ${after.revision}).`
  tell(context, { done, warnings: after.warnings, next })
}

async function deleteCanary(context: Context, [name = '']: string[], { prompt }: PromptOption): Promise<void> {
  const before = await requireAlias(context, name, prompt)
  const { body: after } = await context.api<AnswerOf<'endCanary'>>({
    method: 'DELETE',
    path: canaryPath(name),
    query: { prompt },
    headers: matching(before.revision),
  })
  if (context.options.json) return context.output.json(after)
  const { canary } = before
  const was = canary ? `, ${shareOf(canary)}` : ''
  tell(context, {
    done: `Ended the canary of ${nameOf(after)}${was}. Everyone gets ${targetOf(after)} (revision ${after.revision}).`,
    next: canary ? [`Undo: ${startLine(context, before, canary)}`] : [],
  })
}

function canaryPath(alias: string): string {
  return `/canary/${pathSegment('an alias', alias)}`
}
