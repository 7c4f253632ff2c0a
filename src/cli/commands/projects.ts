import { type Command, Option } from 'commander'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { addLimitOption, type LimitOption, readGlobalList, timeCell } from '../server/lists.js'
import { pathSegment } from '../server/path-segment.js'
import { optionWords, plainCommandLine } from '../terminal/command-line.js'
import { requireYes } from '../terminal/confirm.js'
import { examples } from '../terminal/help-text.js'

type Project = AnswerOf<'getProject'>
type SettingOptions = { name?: string; publicRead?: string | boolean; scan?: string; defaultAlias?: string }

/** `promptsync project …`. */
export function addProjectCommands(program: Command, outcome: Outcome): void {
  const project = program
    .command('project')
    .helpGroup(groups.administration)
    .summary('make, list, change and delete projects')
    .description('Makes, lists, changes and deletes projects. It takes a key with the scope admin.')
  addChanges(project, outcome)
  const list = project
    .command('list')
    .summary('list the projects that the key may see')
    .description('Lists the projects that the key may see.')
    .addHelpText('after', examples('promptsync project list'))
    .action(action<LimitOption>(outcome, listProjects))
  addLimitOption(list)
  project
    .command('show')
    .summary('show the settings of a project')
    .description('Shows the name and the settings of a project.')
    .argument('[slug]', 'the project (default: the one that is found here)')
    .addHelpText('after', examples('promptsync project show acme'))
    .action(action(outcome, showProject))
  project
    .command('delete')
    .summary('erase a project for good')
    .description('Erases all that a project holds and revokes its keys, for good. Its audit stays, and its numbers go on.')
    .argument('<slug>', 'the project')
    .option('-y, --yes', 'do not ask first')
    .addHelpText('after', examples('promptsync project delete acme'))
    .action(action<{ yes?: boolean }>(outcome, deleteProject))
}

function addChanges(project: Command, outcome: Outcome): void {
  const create = project
    .command('create')
    .summary('make a project')
    .description('Makes a project. It takes a global admin key.')
    .argument('<slug>', 'the project: lower-case letters, digits and dashes')
    .addHelpText(
      'after',
      examples('promptsync project create acme --name "Acme Inc"', 'promptsync project create open --public-read'),
    )
    .action(action<SettingOptions>(outcome, createProject))
  const set = project
    .command('set')
    .summary('change the name or the settings of a project')
    .description('Changes the name or the settings of a project; what is not named stays as it is.')
    .argument('[slug]', 'the project (default: the one that is found here)')
    .addHelpText('after', examples('promptsync project set acme --public-read=true', 'promptsync project set --scan block'))
    .action(action<SettingOptions>(outcome, setProject))
  for (const command of [create, set]) {
    command
      .option('--name <text>', 'its name for people; an empty one takes the name away')
      .option('--public-read [boolean]', 'whether reads need no key: true or false')
      .addOption(new Option('--scan <mode>', 'what findings on content do to a push').choices(['warn', 'block', 'off']))
      .option('--default-alias <alias>', 'what sources move, and reads by context follow (at first production)')
  }
}

/** What the options say, as the server takes it. */
function toChanges({ name, publicRead, scan, defaultAlias }: SettingOptions): { name?: string | null; settings: object } {
  const settings = { publicRead: publicRead === undefined ? undefined : toBoolean(publicRead), scan, defaultAlias }
  return { ...(name === undefined ? {} : { name: name === '' ? null : name }), settings }
}

function toBoolean(value: string | boolean): boolean {
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  throw new CliError(`--public-read is true or false, not "${value}".`, {
    remedy: 'Write --public-read=true, behind the project.',
  })
}

async function createProject(context: Context, [slug = '']: string[], options: SettingOptions): Promise<void> {
  refuseOther(context, slug)
  const { body: project } = await context.globalApi<Project>({ path: '/projects', body: { slug, ...toChanges(options) } })
  const { output } = context
  if (context.options.json) return output.json(project)
  output.note(`Made the project "${project.slug}".`)
  output.note(`Undo: ${plainCommandLine('project', 'delete', project.slug)}`)
  output.note(`A key for it: ${plainCommandLine('key', 'create', '--name', 'NAME', '--project', project.slug)}`)
}

/** A project that is named twice, and otherwise, would have one of them meant. */
function refuseOther({ options }: Context, slug: string): void {
  if (options.project !== undefined && options.project !== slug)
    throw new CliError(`Two projects are named: "${slug}" and, by --project, "${options.project}".`, { remedy: 'Name one.' })
}

async function namedProject(context: Context, slug: string | undefined): Promise<string> {
  if (slug !== undefined) {
    refuseOther(context, slug)
    return slug
  }
  return (await context.project()).slug ?? (await onlyProject(context)) ?? 'default'
}

/** A key of one project sees no other: where none is named, that is meant. */
async function onlyProject(context: Context): Promise<string | null> {
  const { body } = await context.globalApi<AnswerOf<'listProjects'>>({ path: '/projects', query: { limit: 2 } })
  const [only, other] = body.items
  return only !== undefined && other === undefined ? only.slug : null
}

function projectPath(slug: string): string {
  return `/projects/${pathSegment('a project', slug)}`
}

async function listProjects(context: Context, _args: string[], { limit }: LimitOption): Promise<void> {
  const page = await readGlobalList<Project>(context, { path: '/projects', limit })
  if (context.options.json) return context.output.json(page)
  context.output.table(
    ['project', 'name', 'public read', 'scan', 'default alias', 'made'],
    page.items.map(({ slug, name, settings, createdAt }) => [
      slug,
      name ?? '',
      String(settings.publicRead),
      settings.scan,
      settings.defaultAlias,
      timeCell(context, createdAt),
    ]),
  )
}

async function showProject(context: Context, [given]: string[]): Promise<void> {
  const { body: project } = await context.globalApi<Project>({ path: projectPath(await namedProject(context, given)) })
  if (context.options.json) return context.output.json(project)
  context.output.table(
    ['setting', 'value'],
    [['project', project.slug], ...Object.entries(optionsOf(project)), ['made', timeCell(context, project.createdAt)]],
  )
}

/** Name and settings by the options that set them. */
function optionsOf({ name, settings }: Project): Record<string, string> {
  return {
    name: name ?? '',
    'public-read': String(settings.publicRead),
    scan: settings.scan,
    'default-alias': settings.defaultAlias,
  }
}

async function setProject(context: Context, [given]: string[], options: SettingOptions): Promise<void> {
  const changes = toChanges(options)
  if (changes.name === undefined && Object.values(changes.settings).every((value) => value === undefined))
    throw new CliError('It is not said what to change.', { remedy: 'See: promptsync help project set' })
  const slug = await namedProject(context, given)
  const { body: before } = await context.globalApi<Project>({ path: projectPath(slug) })
  const { body: after } = await context.globalApi<Project>({ method: 'PATCH', path: projectPath(slug), body: changes })
  const { output } = context
  if (context.options.json) return output.json(after)
  const [was, is] = [optionsOf(before), optionsOf(after)]
  const changed = Object.keys(is).filter((option) => was[option] !== is[option])
  if (changed.length === 0) return output.note(`The project "${slug}" is so already. Nothing changed.`)
  for (const option of changed) output.note(`Changed ${option} of "${slug}" from "${was[option]}" to "${is[option]}".`)
  // Its value may be left out, so it stands behind a sign.
  const undo = changed.flatMap((option) =>
    option === 'public-read' ? [`--public-read=${was[option]}`] : optionWords(`--${option}`, was[option]),
  )
  output.note(`Undo: ${plainCommandLine('project', 'set', slug, ...undo)}`)
}

/** Erasing may take minutes on a large project. */
const deletionTimeoutMs = 10 * 60 * 1_000

async function deleteProject(context: Context, [slug = '']: string[], options: { yes?: boolean }): Promise<void> {
  refuseOther(context, slug)
  const path = projectPath(slug)
  await context.globalApi<Project>({ path })
  await requireYes(context, `Erase all that the project "${slug}" holds, for good? Only a backup could bring it back.`, options)
  const { body } = await context.globalApi<AnswerOf<'deleteProject'>>({ method: 'DELETE', path, timeoutMs: deletionTimeoutMs })
  const { output } = context
  if (context.options.json) return output.json(body)
  const erased = Object.entries(body.erased).map(([what, count]) => `${count} ${what}`)
  output.note(`Erased the project "${slug}": ${erased.join(', ')}. This cannot be undone.`)
}
