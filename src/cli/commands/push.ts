import type { Command } from 'commander'
import { PromptsyncError } from '../../client/problem.js'
import type { Context } from '../context.js'
import { CliError, exitCodeOf, exitCodes } from '../exit-codes.js'
import { groups } from '../groups.js'
import { type LocalPrompts, readLocalPrompts } from '../local/local-prompts.js'
import { type PushBody, type PushOptions, pushBody } from '../local/push-body.js'
import { addTemplateOption } from '../options/template-option.js'
import { action, type Outcome } from '../run.js'
import { type Alias, aliasPath, requireAlias } from '../server/aliases.js'
import type { AnswerOf } from '../server/api.js'
import { whileBusy } from '../server/repeat.js'
import { commandLine } from '../terminal/command-line.js'
import { counted } from '../terminal/counted.js'
import { countFindings, findingLines, inFiles } from '../terminal/findings.js'
import { examples } from '../terminal/help-text.js'
import { type Told, tell } from '../terminal/tell.js'

type Pushed = AnswerOf<'push'>
type Validation = AnswerOf<'validate'>

/** A push of 10,000 prompts takes some seconds, and the network is its own matter. */
const pushTimeoutMs = 300_000

export function addPushCommand(program: Command, outcome: Outcome): void {
  const push = program
    .command('push')
    .helpGroup(groups.prompts)
    .summary('send a folder of prompts to the registry')
    .description(
      'Sends the prompt files of a folder as one release: all of it, or nothing. What is stored already makes nothing new. The ' +
        'Git commit, branch, remote and whether there are uncommitted changes are recorded along with it. Hidden files, ' +
        'node_modules, READMEs and what .promptsyncignore lists are left out.',
    )
    .option('--path <path>', 'the folder of prompts, or one file (default: that of the settings, else ./prompts)')
    .option('--alias <alias>', 'move this alias to the release (default: that of the settings, else none)')
    .option('--version <label>', 'a label for the release, v1.2.0 say')
    .option('--message <text>', 'why, for the list of releases')
    .option('--base <ref>', 'the release to build on (default: that of the alias, else the newest)')
    .option('--prune', 'drop prompts that the folder does not hold')
    .option('--dry-run', 'tell what would change, and store nothing')
  addTemplateOption(push)
    .option('--no-git', 'record nothing of Git')
    .addHelpText(
      'after',
      examples(
        'promptsync push',
        'promptsync push --path ./prompts --alias dev',
        'promptsync push --alias staging --version v1.2.0 --message "Shorter answers"',
        'promptsync push --prune --dry-run',
      ),
    )
    .action(action<PushOptions>(outcome, runPush))
}

async function runPush(context: Context, _args: string[], options: PushOptions): Promise<void> {
  const { output } = context
  const local = await readLocalPrompts(context, options)
  refusePruneByFile(local, options)
  const body = await pushBody(context, local, options)
  const before = body.alias === undefined ? undefined : await findAlias(context, body.alias)
  output.progress(`Sending ${counted(local.files.length, 'file')} (${sizeText(local.sizeBytes)}) to ${context.server().url} …`)
  const { body: pushed, status } = await whileBusy(context, () => send(context, body)).catch((error: unknown) =>
    throwRefused(context, local, body, error),
  )
  output.progress(null)
  if (context.options.json) return output.json(pushed)
  showResults(context, pushed)
  if (body.dryRun) return tell(context, { ...dryOutcome(pushed), warnings: pushed.warnings })
  const made = before === null && pushed.alias !== null && (await isMade(context, pushed.alias))
  tell(context, { ...outcomeOf(context, pushed, { before, made, isNew: status === 201 }), warnings: pushed.warnings })
}

/** A file says nothing about those beside it. */
function refusePruneByFile({ isFile }: LocalPrompts, { prune }: PushOptions): void {
  if (isFile && prune)
    throw new CliError('--prune would drop all prompts but that of the one file.', {
      remedy: 'Name the folder of all prompts, or leave --prune out.',
    })
}

function send(context: Context, body: PushBody) {
  return context.api<Pushed>({ method: 'POST', path: '/prompts', body, timeoutMs: pushTimeoutMs })
}

function sizeText(bytes: number): string {
  return bytes < 1024 ** 2 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}

/** The alias as it is before the push: null where there is none, undefined where that cannot be told. */
async function findAlias(context: Context, name: string): Promise<Alias | null | undefined> {
  try {
    return await requireAlias(context, name, undefined)
  } catch (error) {
    if (!(error instanceof PromptsyncError)) throw error
    if (error.code === 'alias.not_found') return null
    // A key may push and not read. Whatever else is wrong, the push itself says better.
    if (error.status !== null && !error.code.startsWith('client.')) return undefined
    throw error
  }
}

/** Whether a push made an alias that was not there before it: somebody else may have been first, whose it is then. */
async function isMade(context: Context, { name, revision }: NonNullable<Pushed['alias']>): Promise<boolean> {
  if (revision === null || revision === 1) return true
  try {
    const asked = { path: `${aliasPath(name)}/history`, query: { limit: 2 } }
    const { items } = (await context.api<AnswerOf<'listAliasMoves'>>(asked)).body
    return items.some((move) => move.action === 'delete' && move.revision === revision - 1)
  } catch (error) {
    // The push itself is done, and a rollback takes nothing away from anybody.
    if (error instanceof PromptsyncError) return false
    throw error
  }
}

/** A push tells the first of what is wrong; all of it is worth knowing. */
async function throwRefused(context: Context, { root }: LocalPrompts, body: PushBody, error: unknown): Promise<never> {
  if (!(error instanceof PromptsyncError)) throw error
  if (error.code === 'write.unknown' || error.code === 'client.timeout') throw unknownOutcome(error)
  const isAboutFiles = error.status === 422 && error.errors.some(({ path }) => path.startsWith('files['))
  if (!isAboutFiles || context.options.json) throw error
  const findings = await findingsOf(context, body)
  if (!findings.some(({ severity }) => severity === 'error')) throw error
  // Whether stdout takes colours says nothing of stderr.
  const plain = { cwd: context.cwd, output: { paint: (_style: string, text: string) => text } }
  for (const finding of findings) context.output.warn(findingLines(plain, root, finding).trimEnd())
  throw new CliError(`The push was refused, and nothing was stored: ${countFindings(findings)}.`, {
    remedy: 'Correct the files, and push again.',
    exitCode: exitCodeOf(error) === exitCodes.error ? exitCodes.error : exitCodes.invalid,
    cause: error,
  })
}

function unknownOutcome(error: PromptsyncError): CliError {
  return new CliError(`${error.message} Whether the push was stored is not known.`, {
    remedy: 'Push again: what is stored already makes nothing new.',
    cause: error,
  })
}

/** None where they cannot be had: then the error of the push has to do. */
async function findingsOf(context: Context, { files, template, base, alias }: PushBody): Promise<Validation['findings']> {
  try {
    const body = { files, template, base, alias }
    const { body: validation } = await context.api<Validation>({ path: '/validate', body, timeoutMs: pushTimeoutMs })
    return inFiles(validation.findings, files)
  } catch (error) {
    if (error instanceof PromptsyncError && error.code !== 'client.aborted') return []
    throw error
  }
}

/** Rows that somebody reads on a terminal. */
const maxShown = 50

function showResults({ output }: Context, { results }: Pushed): void {
  const changed = results.filter(({ status }) => status !== 'unchanged')
  if (changed.length === 0) return
  const shown = output.isTerminal ? changed.slice(0, maxShown) : changed
  output.table(
    ['status', 'prompt', 'version', 'because'],
    shown.map(({ status, name, version, cause }) => [status, name, version ?? '', cause ?? '']),
  )
  if (shown.length < changed.length)
    output.note(`… and ${(changed.length - shown.length).toLocaleString('en')} more; --json tells all of them.`)
}

function countResults({ results }: Pushed): string {
  const counts = (['created', 'removed', 'unchanged'] as const).flatMap((status) => {
    const count = results.filter((result) => result.status === status).length
    return count === 0 ? [] : [`${count.toLocaleString('en')} ${status}`]
  })
  return counts.join(', ')
}

function dryOutcome(pushed: Pushed): Told {
  const { alias, results } = pushed
  const changes = results.some(({ status }) => status !== 'unchanged')
  return {
    done: `${changes ? 'It would make a release' : 'It would change no prompt'}: ${countResults(pushed)}.`,
    next: [...(alias ? [`It would point ${alias.name} to the release of the push.`] : []), 'Nothing was stored (--dry-run).'],
  }
}

type Before = { before: Alias | null | undefined; made: boolean; isNew: boolean }

function outcomeOf(context: Context, pushed: Pushed, { before, made, isNew }: Before): Told {
  const { release, alias } = pushed
  const ref = release.ref ?? ''
  const counts = countResults(pushed)
  const done = isNew ? `Release ${ref}: ${counts}.` : `Nothing changed: release ${ref} holds all of it (${counts}).`
  if (!alias)
    return { done, next: isNew ? [`No alias was moved. To move one: ${commandLine(context, 'alias', 'set', 'ALIAS', ref)}`] : [] }
  if (before && before.revision === alias.revision) return { done, next: [`${alias.name} is at ${alias.release} already.`] }
  // Somebody else may have moved it since it was looked at.
  const from = before && before.revision === (alias.revision ?? 0) - 1 ? ` from ${before.release}` : ''
  const undo = ['alias', made ? 'delete' : 'rollback', alias.name]
  const moved = `Moved ${alias.name}${from} to ${alias.release} (revision ${alias.revision}).`
  return { done, next: [moved, `Undo: ${commandLine(context, ...undo)}`] }
}
