import { type Command, Option } from 'commander'
import { PromptsyncError } from '../../client/problem.js'
import type { Context } from '../context.js'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import { type Alias, targetOf } from '../server/aliases.js'
import type { AnswerOf } from '../server/api.js'
import { addLimitOption, type LimitOption, readList, timeCell } from '../server/lists.js'
import { pathSegment } from '../server/path-segment.js'
import {
  lostSecrets,
  providerNames,
  readSourceSettings,
  type SettingOptions,
  type SourceSettings,
  settingsOf,
  withoutSecrets,
} from '../server/source-settings.js'
import { commandLine, shellWord } from '../terminal/command-line.js'
import { requireYes } from '../terminal/confirm.js'
import { examples } from '../terminal/help-text.js'
import { type Told, tell } from '../terminal/tell.js'

type Source = AnswerOf<'getSource'>
type Run = AnswerOf<'syncSource'>
type AddOptions = SettingOptions & { replace?: boolean }
type SyncOptions = { wait: boolean; force?: boolean }

/** The server looks at the other side before it answers; a sync it waits for takes up to 150 s. */
const lookTimeoutMs = 60_000
const syncTimeoutMs = 160_000

/** `promptsync source …`: places that prompts come from by themselves. */
export function addSourceCommands(program: Command, outcome: Outcome): void {
  const source = program
    .command('source')
    .helpGroup(groups.administration)
    .summary('have prompts come from Git, URLs and other places')
    .description(
      'Manages sources: places that the server looks at again and again, and takes prompts from. It takes the scope sources:write.',
    )
  addAdd(source, outcome)
  addLooks(source, outcome)
  addSync(source, outcome)
  addTest(source, outcome)
  source
    .command('remove')
    .summary('remove a source; its prompts stay')
    .description('Removes a source with its credentials. The prompts that it brought stay in their releases.')
    .argument('<name>', 'the source')
    .option('-y, --yes', 'do not ask first')
    .addHelpText('after', examples('promptsync source remove team-prompts'))
    .action(action<{ yes?: boolean }>(outcome, removeSource))
}

function addAdd(source: Command, outcome: Outcome): void {
  const add = source
    .command('add')
    .summary('take prompts from a place from now on')
    .description(
      'Makes a source, after a look at what it names. Secrets come from a variable or stdin: arguments can be seen by others.',
    )
    .argument('<name>', 'a name for it: lower-case letters, digits and dashes')
    .option('--replace', 'change the source if there is one of that name; what is not named is as at first')
    .addHelpText(
      'after',
      examples(
        'promptsync source add team-prompts --provider github --url https://github.com/acme/prompts --branch main',
        'promptsync source add handbook --provider git --url https://git.example.com/team/handbook.git --secret-env GIT_TOKEN',
        'promptsync source add web --provider http --manifest https://prompts.example.com/manifest.json --prefix web',
        'promptsync source add cms --config cms.json',
      ),
    )
    .action(action<AddOptions>(outcome, addSource))
  addSettingOptions(add)
}

function addTest(source: Command, outcome: Outcome): void {
  const test = source
    .command('test')
    .summary('tell what a sync would make; nothing is stored')
    .description(
      'Tells what a sync would make, or all that is wrong, of a source that is there, or of one by the same options as source add.',
    )
    .argument('<name>', 'the source')
    .addHelpText(
      'after',
      examples(
        'promptsync source test team-prompts',
        'promptsync source test new --provider github --url acme/prompts --prefix new',
      ),
    )
    .action(action<SettingOptions>(outcome, testSource))
  addSettingOptions(test)
}

function addSettingOptions(command: Command): void {
  command
    .addOption(new Option('--provider <name>', 'what kind of place it is').choices(providerNames))
    .option('--url <url>', 'github and git: the repository; http: one file')
    .option('--repo <owner/name>', 'github: the repository')
    .option('--branch <ref>', 'github and git: a branch, a tag or a commit (default: the default branch)')
    .option('--path <folder>', 'github and git: a folder of the repository, which is then the root')
    .option('--manifest <url>', 'http: a list of files in JSON or YAML')
    .option('--directory <path>', 'file: a directory on the server')
    .option('--query <sql>', 'database: one SELECT that gives path and content')
    .option('--file <path>', 'inline: a file from here, several times', collect)
    .option('--prefix <name>', 'what the names of its prompts begin with')
    .option('--include <pattern>', 'take these paths only, several times', collect)
    .option('--exclude <pattern>', 'leave these paths out, several times', collect)
    .addOption(new Option('--template <language>', 'what the texts are written in').choices(['jinja', 'none']))
    .option('--alias <alias>', "the alias that its syncs move (default: the project's)")
    .option('--interval <span>', 'after so long it is looked at again, such as 5m (default: 5m)')
    .option('--config <file>', 'all settings as JSON, as the server takes them; - reads stdin; options win')
    .option('--secret-env <variable>', 'the variable that holds its token, private key, Authorization, or the URL of a database')
    .option('--secret-stdin', 'read that secret from stdin')
    .option('--webhook-secret-env <variable>', 'the variable that holds what its webhooks are signed by')
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value]
}

function addLooks(source: Command, outcome: Outcome): void {
  const list = source
    .command('list')
    .summary('list sources and how they are')
    .description('Lists the sources of the project, and how their last syncs went.')
    .addHelpText('after', examples('promptsync source list'))
    .action(action<LimitOption>(outcome, listSources))
  addLimitOption(list)
  source
    .command('show')
    .summary('show the settings and the state of a source')
    .description('Shows the settings and the state of a source. Credentials read "set".')
    .argument('<name>', 'the source')
    .addHelpText('after', examples('promptsync source show team-prompts', 'promptsync source show team-prompts --json'))
    .action(action(outcome, showSource))
}

function addSync(source: Command, outcome: Outcome): void {
  source
    .command('sync')
    .summary('sync a source now')
    .description('Syncs a source now and tells what came of it: exit code 1 where it fails, and nothing moves then.')
    .argument('<name>', 'the source')
    .option('--wait', 'wait for it to end (the default)', true)
    .option('--no-wait', 'ask for it and go on')
    .option('--force', 'read all of it, and move the alias, even if nothing changed there')
    .addHelpText('after', examples('promptsync source sync team-prompts', 'promptsync source sync team-prompts --no-wait'))
    .action(action<SyncOptions>(outcome, syncSource))
}

function sourcePath(name: string): string {
  return `/sources/${pathSegment('a source', name)}`
}

async function findSource(context: Context, name: string): Promise<Source | null> {
  try {
    return (await context.api<Source>({ path: sourcePath(name) })).body
  } catch (error) {
    if (error instanceof PromptsyncError && error.code === 'source.not_found') return null
    throw error
  }
}

async function addSource(context: Context, [name = '']: string[], options: AddOptions): Promise<void> {
  const settings = await readSourceSettings(context, options)
  if (settings === null)
    throw new CliError('It is not said what the source is.', {
      remedy: 'Add --provider and where it is; see: promptsync help source add',
    })
  const before = await findSource(context, name)
  if (before !== null && !options.replace)
    throw new CliError(`There is a source "${name}" already.`, {
      remedy: `Look at it (${commandLine(context, 'source', 'show', name)}), choose another name, or add --replace.`,
    })
  const call = { method: 'PUT', path: sourcePath(name), body: settings, timeoutMs: lookTimeoutMs } as const
  const { body: after } = await context.api<Source>(call)
  if (context.options.json) return context.output.json(after)
  if (before?.updatedAt === after.updatedAt) return context.output.note(`The source "${name}" is so already. Nothing changed.`)
  const undo = before ? restoreLines(context, before, settings) : [`Undo: ${commandLine(context, 'source', 'remove', name)}`]
  tell(context, {
    done: `${before ? 'Changed' : 'Made'} the source "${name}" (${placeOf(after)}). It is looked at every ${after.ttlSeconds} s.`,
    next: [...undo, `How it is: ${commandLine(context, 'source', 'show', name)}`],
  })
}

function placeOf({ provider, config }: Source): string {
  const { repo, url, manifest, directory } = config
  const place = [repo, url, manifest, directory].find((value) => typeof value === 'string' && value !== 'set')
  return place === undefined ? provider : `${provider}: ${place}`
}

/** How a source is made as it was; `sent` is what changed it, or null where it is removed. */
function restoreLines(context: Context, source: Source, sent: SourceSettings | null): string[] {
  const settings = settingsOf(source)
  const lost = lostSecrets(settings, sent)
  const words = [
    ...['source', 'add', source.name, '--config', '-', ...(sent ? ['--replace'] : [])],
    ...(lost.ofConfig ? ['--secret-env', 'SECRET'] : []),
    ...(lost.ofWebhook ? ['--webhook-secret-env', 'WEBHOOK_SECRET'] : []),
  ]
  const undo = `Undo: printf %s ${shellWord(JSON.stringify(withoutSecrets(settings, lost)))} | ${commandLine(context, ...words)}`
  if (!lost.ofConfig && !lost.ofWebhook) return [undo]
  return [undo, 'Its credentials are not told again: give them anew, in the variables that this names.']
}

async function listSources(context: Context, _args: string[], { limit }: LimitOption): Promise<void> {
  const page = await readList<Source>(context, { path: '/sources', limit })
  const { output, options } = context
  if (options.json) return output.json(page)
  if (page.items.length === 0) return output.note('There are none. See: promptsync help source add')
  output.table(
    ['source', 'status', 'prompts', 'release', 'checked', 'place'],
    page.items.map((source) => [
      source.name,
      source.enabled ? source.status : 'disabled',
      String(source.prompts),
      source.release ?? '',
      timeCell(context, source.checkedAt),
      placeOf(source),
    ]),
  )
}

async function showSource(context: Context, [name = '']: string[]): Promise<void> {
  const { body: source } = await context.api<Source>({ path: sourcePath(name) })
  const { output } = context
  if (context.options.json) return output.json(source)
  const { lastRun, ...fields } = source
  output.table(
    ['field', 'value'],
    Object.entries(fields).map(([field, value]) => [field, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
  )
  if (lastRun?.status === 'failed') for (const line of findingLines(lastRun.errors)) output.warn(line)
}

function findingLines(findings: Run['errors']): string[] {
  return findings.map(({ path, line, message }) => {
    const place = [path, line].filter((part) => part !== '' && part !== undefined).join(':')
    return place === '' ? message : `${place}: ${message}`
  })
}

async function syncSource(context: Context, [name = '']: string[], { wait, force }: SyncOptions): Promise<ExitCode> {
  const before = wait ? await readAliases(context) : null
  const { body: run } = await context.api<Run>({
    method: 'POST',
    path: `${sourcePath(name)}/sync`,
    query: { wait, force },
    timeoutMs: syncTimeoutMs,
  })
  const hasFailed = run.status === 'failed'
  if (context.options.json) {
    context.output.json(run)
    return hasFailed ? exitCodes.error : exitCodes.ok
  }
  if (hasFailed) throw new CliError([`The sync of "${name}" failed, and nothing moved.`, ...findingLines(run.errors)].join('\n'))
  const undo = run.status === 'success' ? await undoLines(context, before, run) : []
  tell(context, { ...toldRun(context, run), next: undo })
  return exitCodes.ok
}

function toldRun(context: Context, { source, status, commit, release, counts, warnings }: Run): Told {
  const look = commandLine(context, 'source', 'show', source)
  if (status === 'pending' || status === 'running') return { done: `The sync of "${source}" is under way. How it is: ${look}` }
  const at = `${release ? ` as release ${release}` : ''}${commit ? `, commit ${commit}` : ''}`
  if (status === 'unchanged') return { done: `There is nothing new in "${source}"${at}. Nothing changed.`, warnings }
  return { done: `Synced "${source}"${at}${counts ? `: ${countsOf(counts)}` : ''}.`, warnings }
}

function countsOf({ files, created, unchanged, removed }: NonNullable<Run['counts']>): string {
  return `${created} created, ${unchanged} unchanged, ${removed} removed, out of ${files} files`
}

/** The aliases of the project by name; null for a key that may not see them. */
async function readAliases(context: Context): Promise<Map<string, Alias> | null> {
  try {
    const { items } = await readList<Alias>(context, { path: '/aliases' })
    return new Map(items.filter(({ prompt }) => prompt === null).map((alias) => [alias.name, alias]))
  } catch (error) {
    if (error instanceof PromptsyncError && error.status === 403) return null
    throw error
  }
}

/** A run does not tell which alias it moved: it is one that points to its release now, and did not before. */
async function undoLines(context: Context, before: Map<string, Alias> | null, { release }: Run): Promise<string[]> {
  const after = await readAliases(context)
  if (before === null || after === null) return ['Undo: roll back the alias that it moves; a key with prompts:read would see it.']
  const moved = [...after.values()].filter(
    (alias) => alias.release === release && alias.release !== before.get(alias.name)?.release,
  )
  return moved.flatMap(({ name }) => {
    const earlier = before.get(name)
    const way = earlier ? `Moved ${name} from ${targetOf(earlier)} to ${release}.` : `Made ${name}, pointing to ${release}.`
    return [way, `Undo: ${commandLine(context, 'alias', earlier ? 'rollback' : 'delete', name)}`]
  })
}

async function testSource(context: Context, [name = '']: string[], options: SettingOptions): Promise<ExitCode> {
  const settings = await readSourceSettings(context, options)
  const { body: test } = await context.api<AnswerOf<'testSource'>>({
    method: 'POST',
    path: `${sourcePath(name)}/test`,
    ...(settings === null ? {} : { body: settings }),
    timeoutMs: syncTimeoutMs,
  })
  const { output } = context
  const code = test.ok ? exitCodes.ok : exitCodes.error
  if (context.options.json) {
    output.json(test)
    return code
  }
  if (!test.ok) throw new CliError([`"${name}" cannot be synced:`, ...findingLines(test.errors)].join('\n'))
  output.table(
    ['prompt', 'would be'],
    test.results.map(({ name: prompt, status }) => [prompt, status]),
  )
  const { counts, warnings } = test
  tell(context, { done: `A sync would work: ${countsOf(counts)}.`, warnings, next: ['Nothing was changed.'] })
  return code
}

async function removeSource(context: Context, [name = '']: string[], options: { yes?: boolean }): Promise<void> {
  const { body: source } = await context.api<Source>({ path: sourcePath(name) })
  await requireYes(
    context,
    `Remove the source "${name}" (${placeOf(source)})? Its prompts stay, its credentials do not.`,
    options,
  )
  const { body: removed } = await context.api<AnswerOf<'deleteSource'>>({ method: 'DELETE', path: sourcePath(name) })
  if (context.options.json) return context.output.json(removed)
  tell(context, {
    done: `Removed the source "${name}" (${placeOf(removed)}). Its prompts stay.`,
    next: restoreLines(context, removed, null),
  })
}
