import { randomBytes } from 'node:crypto'
import { access, mkdir, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { isPromptName } from '../../lib/names.js'
import type { PlannedVersion } from '../../lib/prompt-plan.js'
import type { Context } from '../context.js'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.js'
import { groups } from '../groups.js'
import { isStoredAs } from '../local/diffables.js'
import { findLocalPrompts, type LocalFile, placeOfPrompts } from '../local/local-prompts.js'
import { type ParsedPrompt, parsePrompt } from '../local/parsed-prompts.js'
import { isWithin, shownPath } from '../local/paths.js'
import { writePromptFile } from '../local/prompt-files.js'
import { action, type Outcome } from '../run.js'
import { contentOf, readRelease, readServed } from '../server/stored-prompts.js'
import { counted } from '../terminal/counted.js'
import { examples } from '../terminal/help-text.js'

type PullOptions = { path?: string; force?: boolean; prune?: boolean; dryRun?: boolean }

export function addPullCommand(program: Command, outcome: Outcome): void {
  program
    .command('pull')
    .helpGroup(groups.prompts)
    .summary('write the prompts of a release as files')
    .description(
      'Writes the prompts of a release, or those of an alias with its pins, as files that a push would store as exactly the same. Files that say the same already are ' +
        'left as they are, and those that do not are kept unless --force is given. Titles, descriptions, labels and metadata ' +
        'belong to no release: they are not pulled.',
    )
    .argument('[ref]', 'a release, label, commit or alias (default: the alias of the settings, else production)')
    .option('--path <folder>', 'the folder of prompts (default: that of the settings, else ./prompts)')
    .option('--force', 'overwrite files that differ')
    .option('--prune', 'remove files of prompts that the release does not hold; takes --force as well')
    .option('--dry-run', 'tell what would be written, and write nothing')
    .addHelpText(
      'after',
      examples('promptsync pull', 'promptsync pull v1.2.0 --force', 'promptsync pull production --path ./prompts --dry-run'),
    )
    .action(action<PullOptions>(outcome, runPull))
}

/** What is to be done with a file. `old` is the one that the prompt has now, where it is another. */
type Step = { status: 'added' | 'changed' | 'removed'; name: string; file: LocalFile | null; old: string | null }
type Plan = { steps: Step[]; unchanged: number; problems: string[] }

async function runPull(context: Context, [given]: string[], options: PullOptions): Promise<ExitCode> {
  const { settings } = await context.project()
  const { root, target } = await placeOfPrompts(context, options)
  if (root !== target)
    throw new CliError(`${shownPath(context, target)} is a file.`, { remedy: 'Name the folder of prompts: --path FOLDER' })
  const local = await readFolder(context, options)
  const release = await readRelease(context, given ?? settings.alias ?? 'production')
  const { prompts, problems } = await readServed(context, release)
  const plan = await planPull(local, prompts, { template: settings.template ?? 'jinja', prune: options.prune === true })
  plan.problems.push(...[...problems].map(([name, { detail }]) => `${name}: ${detail}`))
  await refuseOverwriting(context, root, plan, options)
  if (!options.dryRun) await applyPlan(context, root, plan)
  tell(context, plan, { root, release: release.ref, isDry: options.dryRun === true })
  return plan.problems.length > 0 ? exitCodes.error : exitCodes.ok
}

/** What is in the folder by name; a file that cannot be read as a prompt has its path only, and counts as one that differs. */
type Local = Map<string, { path: string; prompt: ParsedPrompt | null }>

async function readFolder(context: Context, options: PullOptions): Promise<Local> {
  const { settings } = await context.project()
  // A folder that is not there yet is made.
  const { files } = await findLocalPrompts(context, options, { named: 'may be missing' })
  const local: Local = new Map()
  for (const file of files) {
    const prompt = await parsedOrNull(file, settings.template ?? 'jinja')
    const name = prompt?.name ?? (await nameOrNull(file.path))
    const other = name === null ? undefined : local.get(name)
    if (other)
      throw new CliError(`"${other.path}" and "${file.path}" are both prompt "${name}".`, { remedy: 'Rename one of the files.' })
    // What gives no name can be no prompt's.
    if (name !== null) local.set(name, { path: file.path, prompt })
  }
  return local
}

async function nameOrNull(path: string): Promise<string | null> {
  const [{ nameOfFile }, { FileError }] = await Promise.all([
    import('../../lib/files.js'),
    import('../../lib/file-formats/file-error.js'),
  ])
  try {
    return nameOfFile(path)
  } catch (error) {
    if (error instanceof FileError) return null
    throw error
  }
}

async function parsedOrNull(file: LocalFile, template: 'jinja' | 'none'): Promise<ParsedPrompt | null> {
  try {
    return await parsePrompt(file, template)
  } catch (error) {
    if (error instanceof CliError) return null
    throw error
  }
}

type Planning = { template: 'jinja' | 'none'; prune: boolean }

async function planPull(local: Local, stored: ReadonlyMap<string, PlannedVersion>, { template, prune }: Planning): Promise<Plan> {
  const plan: Plan = { steps: [], unchanged: 0, problems: [] }
  for (const [name, version] of stored) {
    const known = local.get(name)
    if (known?.prompt && isStoredAs(known.prompt, version)) {
      plan.unchanged += 1
      continue
    }
    const wanted = { name, content: contentOf(version), fields: known?.prompt?.fields ?? {}, template }
    const file = isPromptName(name) ? await writePromptFile(wanted, known?.path) : null
    if (!file) plan.problems.push(`${name}: no file can hold it: its name or content is nothing that a file can say.`)
    else
      plan.steps.push({
        status: known ? 'changed' : 'added',
        name,
        file,
        old: known && known.path !== file.path ? known.path : null,
      })
  }
  const gone = prune ? [...local].filter(([name]) => !stored.has(name)) : []
  plan.steps.push(...gone.map(([name, { path }]): Step => ({ status: 'removed', name, file: null, old: path })))
  return plan
}

const maxListed = 20

/** Files that differ hold what may be nowhere else. */
async function refuseOverwriting(context: Context, root: string, { steps }: Plan, { force }: PullOptions): Promise<void> {
  if (force) return
  const lost: string[] = []
  for (const { status, file, old } of steps) {
    const path = old ?? file?.path ?? ''
    // What is no prompt to us, an ignored file say, may be in the way all the same.
    if (status !== 'added' || (await exists(join(root, path)))) lost.push(path)
  }
  if (lost.length === 0) return
  const shown = lost.slice(0, maxListed).map((path) => `  ${shownPath(context, join(root, path))}`)
  const more = lost.length > maxListed ? [`  and ${lost.length - maxListed} more`] : []
  throw new CliError(
    `${counted(lost.length, 'file')} would be overwritten or removed; nothing was written:\n${[...shown, ...more].join('\n')}`,
    {
      remedy: 'See what differs by promptsync diff, push it or commit it, and then pull with --force.',
    },
  )
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

async function applyPlan(context: Context, root: string, { steps }: Plan): Promise<void> {
  await mkdir(root, { recursive: true })
  const realRoot = await realpath(root)
  for (const [index, { file, old }] of steps.entries()) {
    context.signal.throwIfAborted()
    context.output.progress(`Writing file ${index + 1} of ${steps.length} …`)
    if (file) await writeWhole(realRoot, file)
    if (old !== null) await rm(join(root, old), { force: true })
  }
  context.output.progress(null)
}

/** A file is there whole or as it was before, whatever happens meanwhile. */
async function writeWhole(root: string, { path, content }: LocalFile): Promise<void> {
  const target = join(root, path)
  await mkdir(dirname(target), { recursive: true })
  const folder = await realpath(dirname(target))
  if (!isWithin(root, folder))
    throw new CliError(`${path} would be written outside of ${root}: a link leads there.`, { remedy: 'Remove the link.' })
  const draft = join(folder, `.promptsync-${randomBytes(6).toString('hex')}`)
  try {
    await writeFile(draft, content, { flag: 'wx' })
    await rename(draft, target)
  } finally {
    await rm(draft, { force: true })
  }
}

type Told = { root: string; release: string; isDry: boolean }

function tell(context: Context, { steps, unchanged, problems }: Plan, { root, release, isDry }: Told): void {
  const { output, options } = context
  const paths = steps.map(({ status, name, file, old }) => ({
    status,
    name,
    path: shownPath(context, join(root, file?.path ?? old ?? '')),
  }))
  if (options.json) output.json({ release, files: paths, unchanged, problems, dryRun: isDry })
  else if (paths.length > 0)
    output.table(
      ['status', 'prompt', 'file'],
      paths.map(({ status, name, path }) => [status, name, path]),
    )
  for (const problem of problems) output.warn(`Left out: ${problem}`)
  const what = `${counted(steps.length, 'file')} ${isDry ? 'would be written or removed' : 'written or removed'}, ${unchanged} as in ${release} already.`
  output.note(steps.length === 0 ? `Nothing to write: ${counted(unchanged, 'file')} as in ${release} already.` : what)
}
