import { type Command, Option } from 'commander'
import { scopes } from '../../lib/access.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { toSeconds } from '../options/time-spans.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { addLimitOption, type LimitOption, readGlobalList, readList, timeCell } from '../server/lists.js'
import { pathSegment } from '../server/path-segment.js'
import { optionWords, plainCommandLine } from '../terminal/command-line.js'
import { requireYes } from '../terminal/confirm.js'
import { examples } from '../terminal/help-text.js'

type Key = AnswerOf<'listKeys'>['items'][number]
type NewKey = AnswerOf<'createKey'>
type CreateOptions = { name: string; scope?: string[]; expiresAt?: string; expiresIn?: string; global?: boolean }

/** `promptsync key …`. */
export function addKeyCommands(program: Command, outcome: Outcome): void {
  const key = program
    .command('key')
    .helpGroup(groups.administration)
    .summary('make, list and revoke keys')
    .description('Makes, lists and revokes keys. It takes a key with the scope admin.')
  addCreate(key, outcome)
  const list = key
    .command('list')
    .summary('list keys, never their secrets')
    .description('Lists the keys of the project, or, where none is named, all that your key may see; revoked ones included.')
    .option('--global', 'the keys of all projects, and those of none')
    .addHelpText('after', examples('promptsync key list', 'promptsync key list --global --json'))
    .action(action<LimitOption & { global?: boolean }>(outcome, listKeys))
  addLimitOption(list)
  key
    .command('revoke')
    .summary('revoke a key for good')
    .description('Revokes a key for good: whoever uses it is refused from then on.')
    .argument('<id>', 'its id, which promptsync key list shows')
    .option('-y, --yes', 'do not ask first')
    .addHelpText('after', examples('promptsync key revoke 0199f4a2-7c1e-7d51-9b0c-3f6f1d1c2b3a'))
    .action(action<{ yes?: boolean }>(outcome, revokeKey))
}

function addCreate(key: Command, outcome: Outcome): void {
  key
    .command('create')
    .summary('make a key and print its secret, this once')
    .description('Makes a key for the project. Its secret is printed on stdout, alone, and can never be shown again.')
    .requiredOption('--name <text>', 'who or what is going to use it')
    .addOption(new Option('--scope <scope...>', 'what it may do (default: prompts:read)').choices(scopes))
    .option('--expires-at <date>', 'when it stops, such as 2027-01-31 or 2027-01-31T12:00:00Z')
    .option('--expires-in <span>', 'after how long it stops, such as 90d or 12h')
    .option('--global', 'for all projects, which only a global admin key can make')
    .addHelpText(
      'after',
      examples(
        'promptsync key create --name bot',
        'promptsync key create --name CI --scope prompts:read --scope prompts:write --scope aliases:write --expires-in 90d',
      ),
    )
    .action(action<CreateOptions>(outcome, createKey))
}

async function createKey(context: Context, _args: string[], options: CreateOptions): Promise<void> {
  const project = await projectOfNewKey(context, options)
  const body = { name: options.name, project, scopes: options.scope ?? ['prompts:read'], expiresAt: expiryOf(options) }
  const { body: key } = await context.globalApi<NewKey>({ path: '/keys', body })
  const { output } = context
  if (context.options.json) return output.json(key)
  output.note(`Made the key "${key.name}" (${key.id}) ${placeOf(key)} with ${key.scopes.join(', ')}. ${endOf(key)}`)
  output.note('Its secret is shown this once. Keep it where only its user can read it, as PROMPTSYNC_TOKEN say.')
  output.data(`${key.secret}\n`)
  output.note(`Undo: ${plainCommandLine('key', 'revoke', key.id)}`)
}

/** A key for all projects is asked for by name only: it must not come of a setting that is missing. */
async function projectOfNewKey(context: Context, { global }: CreateOptions): Promise<string | null> {
  if (global) {
    if (context.options.project === undefined) return null
    throw new CliError('A global key is for no one project, but --project names one.', { remedy: 'Leave one of the two out.' })
  }
  const { slug } = await context.project()
  if (slug !== null) return slug
  throw new CliError('It is not said which project the key is for.', {
    remedy: 'Name it by --project, or make a key for all projects by --global.',
  })
}

function expiryOf({ expiresAt, expiresIn }: CreateOptions): string | null {
  if (expiresAt !== undefined && expiresIn !== undefined)
    throw new CliError('It is said twice when the key stops.', { remedy: 'Give --expires-at or --expires-in.' })
  if (expiresIn !== undefined) return new Date(Date.now() + toSpan(expiresIn) * 1_000).toISOString()
  return expiresAt === undefined ? null : toMoment(expiresAt)
}

/** A hundred years: more is no expiry, and beyond what dates can tell. */
const maxSpanSeconds = 36_525 * 24 * 60 * 60

function toSpan(text: string): number {
  const seconds = toSeconds(text)
  if (seconds > 0 && seconds <= maxSpanSeconds) return seconds
  throw new CliError(`A key cannot stop after ${text}.`, {
    remedy: 'Give from 1s to 36525d, or leave it out for a key that stays.',
  })
}

function toMoment(text: string): string {
  const moment = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN
  const isDate = !Number.isNaN(moment) && isDay(text.slice(0, 10))
  if (isDate && moment > Date.now()) return new Date(moment).toISOString()
  throw new CliError(isDate ? `${text} is over already.` : `"${text}" is no date.`, {
    remedy: 'Write a coming day as 2027-01-31, or a moment as 2027-01-31T12:00:00Z.',
  })
}

/** February 30 would be read as a day of March. */
function isDay(text: string): boolean {
  return new Date(text).toISOString().startsWith(text)
}

function placeOf({ project }: Key): string {
  return project === null ? 'for all projects' : `for the project "${project}"`
}

function endOf({ expiresAt }: Key): string {
  return expiresAt === null ? 'It does not expire.' : `It stops at ${expiresAt}.`
}

async function listKeys(context: Context, _args: string[], { global, limit }: LimitOption & { global?: boolean }): Promise<void> {
  const page = global
    ? await readGlobalList<Key>(context, { path: '/keys', limit })
    : await readList<Key>(context, { path: '/keys', limit })
  const { output, options } = context
  if (options.json) return output.json(page)
  if (page.items.length === 0) return output.note('There are none. Make one: promptsync key create --name NAME')
  const now = new Date().toISOString()
  output.table(
    ['id', 'name', 'state', 'project', 'scopes', 'last used', 'expires'],
    page.items.map((key) => [
      key.id,
      key.name,
      stateOf(key, now),
      key.project ?? '',
      key.scopes.join(','),
      timeCell(context, key.lastUsedAt),
      timeCell(context, key.expiresAt),
    ]),
  )
}

function stateOf({ revokedAt, expiresAt }: Key, now: string): string {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'good'
}

async function revokeKey(context: Context, [id = '']: string[], options: { yes?: boolean }): Promise<void> {
  const path = `/keys/${pathSegment('a key', id)}`
  const before = await findKey(context, id)
  const { output } = context
  if (before?.revokedAt) {
    if (context.options.json) return output.json(before)
    return output.note(`The key "${before.name}" was revoked at ${before.revokedAt} already. Nothing changed.`)
  }
  const named = before === null ? id : `"${before.name}" ${placeOf(before)}`
  await requireYes(context, `Revoke the key ${named} for good? Whoever uses it is refused from then on.`, options)
  const { body: key } = await context.globalApi<AnswerOf<'revokeKey'>>({ method: 'DELETE', path })
  if (context.options.json) return output.json(key)
  output.note(
    `Revoked the key "${key.name}" ${placeOf(key)}. Elsewhere than on the instance that was asked it stops within 10 s.`,
  )
  output.note(`This cannot be undone. Another one like it: ${likeKey(key)}`)
}

/** Keys cannot be read one by one: it is looked for among the first thousands, to be asked about by name. */
async function findKey(context: Context, id: string): Promise<Key | null> {
  let cursor: string | null = null
  for (let pages = 0; pages < 20; pages += 1) {
    const { body }: { body: AnswerOf<'listKeys'> } = await context.globalApi({ path: '/keys', query: { limit: 200, cursor } })
    const found = body.items.find((key) => key.id === id)
    if (found || body.nextCursor === null) return found ?? null
    cursor = body.nextCursor
  }
  return null
}

function likeKey({ name, scopes: held, project }: Key): string {
  const where = project === null ? ['--global'] : optionWords('--project', project)
  return plainCommandLine('key', 'create', '--name', name, ...held.flatMap((scope) => ['--scope', scope]), ...where)
}
