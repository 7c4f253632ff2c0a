import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import type { Command } from 'commander'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { askGit, gitRoot } from '../local/git.js'
import { examplePrompt, settingsFile, workflowFile, workflowPath } from '../local/init-files.js'
import type { FoundProject } from '../local/project.js'
import { writeWholeFile } from '../local/whole-file.js'
import { action, type Outcome } from '../run.js'
import { plainCommandLine, shellWord } from '../terminal/command-line.js'
import { examples } from '../terminal/help-text.js'

type InitOptions = { path?: string; force?: boolean }

/** `promptsync init`: the files that a project starts with. */
export function addInitCommand(program: Command, outcome: Outcome): void {
  program
    .command('init')
    .helpGroup(groups.setup)
    .summary('write settings, an example prompt and a GitHub Actions workflow')
    .description(
      'Writes promptsync.config.yaml and an example prompt into the current folder, and a workflow for GitHub Actions into the root of the repository, or into the current folder where there is none yet. Nothing is overwritten without --force.',
    )
    .option('--path <folder>', 'the folder of prompts (default: prompts)')
    .option('--force', 'overwrite the files that are there')
    .addHelpText('after', examples('promptsync init', 'promptsync init --project support-bot --path config/prompts'))
    .action(action<InitOptions>(outcome, init))
}

type Planned = {
  path: string
  content: string
  /** Null where the file is written anyway. */
  reasonToKeep: string | null
  /** Whether `--force` changes nothing about that: a second file of settings would be an error. */
  isFixed?: boolean
}

async function init(context: Context, _args: string[], { path, force }: InitOptions): Promise<void> {
  const found = await context.project()
  const planned = planFiles(context, found, folderOfPrompts(context, found, path))
  const kept = planned.filter(({ reasonToKeep, isFixed }) => reasonToKeep !== null && (isFixed || !force))
  const wanted = planned.filter((file) => !kept.includes(file))
  const overwritten = wanted.filter((file) => existsSync(file.path))
  for (const file of wanted) write(file)
  report(context, found, { wanted, kept, overwritten })
}

/** The folder of prompts from here, with "/": the one that is given, else that of settings that are here, else `prompts`. */
function folderOfPrompts({ cwd }: Context, { settings, directory }: FoundProject, given: string | undefined): string {
  const path = given ?? (directory === cwd ? settings.path : undefined) ?? 'prompts'
  const folder = relative(cwd, resolve(cwd, path)).split(sep).join('/')
  if (folder !== '' && !folder.startsWith('..') && !isAbsolute(folder)) return folder
  throw new CliError(`${path} is no folder below this one.`, { remedy: 'Name one: promptsync init --path prompts' })
}

function planFiles({ cwd }: Context, { slug, settingsFile: settings }: FoundProject, path: string): Planned[] {
  const root = gitRoot(cwd) ?? cwd
  const folder = relative(root, cwd).split(sep).join('/')
  const config = join(cwd, 'promptsync.config.yaml')
  const example = join(cwd, path, 'greeting.yaml')
  const workflow = join(root, workflowPath)
  return [
    {
      path: config,
      content: settingsFile({ project: slug, path }),
      reasonToKeep: settings !== null && dirname(settings) === cwd ? `the settings are in ${basename(settings)}` : null,
      isFixed: settings !== config,
    },
    { path: example, content: examplePrompt, reasonToKeep: isEmpty(join(cwd, path)) ? null : `${path} is not empty` },
    {
      path: workflow,
      content: workflowFile({ project: slug, path, folder, branch: mainBranch(root) }),
      reasonToKeep: existsSync(workflow) ? 'it is there' : null,
    },
  ]
}

function isEmpty(folder: string): boolean {
  return !existsSync(folder) || readdirSync(folder).length === 0
}

/** The branch that the remote calls its main one, else the one that is checked out. */
function mainBranch(root: string): string {
  const remote = askGit(root, ['symbolic-ref', '--quiet', '--short', 'refs/remotes/origin/HEAD'])
  return remote?.replace(/^origin\//, '') || askGit(root, ['symbolic-ref', '--quiet', '--short', 'HEAD']) || 'main'
}

function write({ path, content }: Planned): void {
  try {
    mkdirSync(dirname(path), { recursive: true })
    writeWholeFile(path, content)
  } catch (error) {
    throw new CliError(`${path} cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

type Done = { wanted: Planned[]; kept: Planned[]; overwritten: Planned[] }

function report(context: Context, project: FoundProject, { wanted, kept, overwritten }: Done): void {
  const { output, options, cwd } = context
  const shown = ({ path }: Planned) => relative(cwd, path)
  const next = nextCommands(context, project)
  if (options.json) output.json({ written: wanted.map(shown), kept: kept.map(shown), project: project.slug, next })
  for (const file of wanted) output.note(`${overwritten.includes(file) ? 'Overwrote' : 'Wrote'} ${shown(file)}.`)
  for (const file of kept) output.note(`Kept ${shown(file)} as it is: ${file.reasonToKeep}.`)
  if (kept.some(({ isFixed }) => !isFixed)) output.note('Write them all the same: promptsync init --force')
  const made = wanted.filter((file) => !overwritten.includes(file)).map(shown)
  if (made.length > 0) output.note(`Undo: rm ${made.map(shellWord).join(' ')}`)
  output.note(['', 'Next:', ...next.map((line) => `  ${line}`)].join('\n'))
}

/** What leads from here to a prompt in production. */
function nextCommands({ server }: Context, { slug }: FoundProject): string[] {
  return [
    ...(server().token === null ? ['promptsync login'] : []),
    // The project `default` is there from the first start.
    ...(slug === null || slug === 'default' ? [] : [plainCommandLine('project', 'create', slug)]),
    'promptsync validate',
    'promptsync push',
    'promptsync alias set production --version $(promptsync version get dev)',
  ]
}
