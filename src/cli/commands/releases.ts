import type { Command } from 'commander'
import type { Context } from '../context.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { addLimitOption, type LimitOption, readList, timeCell } from '../server/lists.js'
import { pathSegment } from '../server/path-segment.js'
import { examples } from '../terminal/help-text.js'

type Release = AnswerOf<'listReleases'>['items'][number]
type Snapshot = AnswerOf<'getRelease'>
type Version = AnswerOf<'listVersions'>['items'][number]

/** `promptsync version …` and `promptsync release …`: what there is to point to. */
export function addReleaseCommands(program: Command, outcome: Outcome): void {
  addVersionCommands(program, outcome)
  const release = program
    .command('release')
    .helpGroup(groups.rollout)
    .summary('list releases and what they hold')
    .description('Shows releases: what each push or sync made of the whole project.')
  const list = release
    .command('list')
    .summary('list the releases of the project, newest first')
    .description('Lists the releases of the project, newest first.')
    .addHelpText('after', examples('promptsync release list --limit 10'))
    .action(action<LimitOption>(outcome, listReleases))
  addLimitOption(list)
  release
    .command('show')
    .summary('show what a release holds')
    .description('Lists the prompts that a release holds, with their versions, and says on stderr where the release is from.')
    .argument('<ref>', 'a number, label, commit, latest, or an alias')
    .addHelpText('after', examples('promptsync release show v1.2.0', 'promptsync release show production --json'))
    .action(action(outcome, showRelease))
}

function addVersionCommands(program: Command, outcome: Outcome): void {
  const version = program
    .command('version')
    .helpGroup(groups.rollout)
    .summary('tell which release an alias points to, or list the versions of a prompt')
    .description('Tells which release an alias points to, and lists the versions of a prompt.')
  version
    .command('get')
    .summary('print the release that an alias points to, and nothing else')
    .description(
      'Prints the label or number of the release that an alias points to, for $(…) in scripts. With --prompt it is the version of that prompt that the alias gives. A canary is left out of account.',
    )
    .argument('<alias>', 'an alias; a commit, a label, a number or latest will do as well')
    .option('--prompt <name>', 'the version of this prompt, not the release')
    .addHelpText(
      'after',
      examples('promptsync version get dev', 'promptsync alias set production --version $(promptsync version get dev)'),
    )
    .action(action<{ prompt?: string }>(outcome, getVersion))
  const list = version
    .command('list')
    .summary('list the versions of a prompt, newest first')
    .description('Lists the versions of a prompt, newest first.')
    .argument('<name>', 'the prompt')
    .addHelpText('after', examples('promptsync version list customer_support'))
    .action(action<LimitOption>(outcome, listVersions))
  addLimitOption(list)
}

async function getVersion(context: Context, [ref = '']: string[], { prompt }: { prompt?: string }): Promise<void> {
  const { output, options } = context
  const found = prompt === undefined ? await releaseOf(context, ref) : await versionOf(context, prompt, ref)
  if (options.json) return output.json(found)
  output.data(`${found.version ?? found.release}\n`)
}

type Found = { ref: string; release: string | null; prompt: string | null; version: string | null }

async function releaseOf(context: Context, ref: string): Promise<Found> {
  const path = `/releases/${pathSegment('a release', ref)}`
  const { body } = await context.api<Snapshot>({ path, query: { limit: 1 } })
  return { ref, release: body.ref, prompt: null, version: null }
}

async function versionOf(context: Context, prompt: string, ref: string): Promise<Found> {
  const path = `/prompts/${pathSegment('a prompt', prompt)}/${pathSegment('a version', ref)}`
  const { body } = await context.api<AnswerOf<'fetchPrompt'>>({ path, query: { canary: 'off' } })
  return { ref, release: body.release, prompt, version: body.version }
}

async function listVersions(context: Context, [name = '']: string[], { limit }: LimitOption): Promise<void> {
  const path = `/prompts/${pathSegment('a prompt', name)}/versions`
  const page = await readList<Version>(context, { path, limit })
  if (context.options.json) return context.output.json(page)
  context.output.table(
    ['version', 'number', 'first in', 'type', 'made', 'commit', 'message'],
    page.items.map((version) => [
      version.version,
      `v${version.number}`,
      version.release,
      version.purgedAt === null ? version.type : 'purged',
      timeCell(context, version.createdAt),
      commitCell(context, version.git),
      version.message ?? '',
    ]),
  )
}

function commitCell({ output }: Context, git: Release['git']): string {
  if (git === null) return ''
  return output.isTerminal ? git.commit.slice(0, 7) : git.commit
}

async function listReleases(context: Context, _args: string[], { limit }: LimitOption): Promise<void> {
  const page = await readList<Release>(context, { path: '/releases', limit })
  const { output, options } = context
  if (options.json) return output.json(page)
  if (page.items.length === 0) return output.note('There are none. The first push makes one: promptsync push')
  output.table(
    ['release', 'number', 'made', 'commit', 'branch', 'by', 'message'],
    page.items.map((release) => [
      release.ref,
      `r${release.number}`,
      timeCell(context, release.createdAt),
      commitCell(context, release.git),
      release.git?.branch ?? '',
      release.actor,
      release.message ?? '',
    ]),
  )
}

async function showRelease(context: Context, [ref = '']: string[]): Promise<void> {
  const snapshot = await readSnapshot(context, `/releases/${pathSegment('a release', ref)}`)
  const { output, options } = context
  if (options.json) return output.json(snapshot)
  for (const line of factsOf(snapshot)) output.note(line)
  output.table(
    ['prompt', 'version', 'number'],
    snapshot.items.map(({ name, version, number }) => [name, version, `v${number}`]),
  )
}

/** The most that the server answers at once. */
const pageSize = 200

/** All pages of one release: what it holds is bounded by the server. The ref is resolved once, so that all are of the same. */
async function readSnapshot(context: Context, path: string): Promise<Snapshot> {
  const { body: first } = await context.api<Snapshot>({ path, query: { limit: pageSize } })
  const { items } = first
  let cursor = first.nextCursor
  while (cursor !== null) {
    const { body } = await context.api<Snapshot>({ path: `/releases/r${first.number}`, query: { limit: pageSize, cursor } })
    items.push(...body.items)
    cursor = body.nextCursor
  }
  return { ...first, items, nextCursor: null }
}

function factsOf({ ref, number, base, message, git, actor, createdAt, promptCount }: Snapshot): string[] {
  const prompts = promptCount === 1 ? '1 prompt' : `${promptCount} prompts`
  const from = git && [
    `commit ${git.commit}`,
    git.branch && `on ${git.branch}`,
    git.repo && `of ${git.repo}`,
    git.dirty && 'with changes',
  ]
  return [
    `Release ${ref}${ref === `r${number}` ? '' : ` (r${number})`}: ${prompts}, made ${createdAt} by ${actor}${base ? `, on top of ${base}` : ''}.`,
    ...(from ? [`From ${from.filter(Boolean).join(' ')}.`] : []),
    ...(message ? [`Message: ${message}`] : []),
  ]
}
