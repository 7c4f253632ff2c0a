import type { Command } from 'commander'
import type { Context } from '../context.js'
import type { ExitCode } from '../exit-codes.js'
import { groups } from '../groups.js'
import type { LocalChanges } from '../local/local-changes.js'
import { action, type Outcome } from '../run.js'
import { describeAccess } from '../server/key-access.js'
import type { State, Trouble } from '../server/state.js'
import { examples } from '../terminal/help-text.js'
import { visible } from '../terminal/visible.js'

/** `promptsync status`: where things stand. */
export function addStatusCommand(program: Command, outcome: Outcome): void {
  program
    .command('status')
    .helpGroup(groups.setup)
    .summary('what commands work on, where aliases point, what is not pushed')
    .description(
      'Tells which server and project commands work on and what named them, what the key may do, where aliases and canaries point, and which local prompts differ from what is stored: under the alias of the settings, else in the newest release. Where the server does not answer, the rest is told all the same (exit code 1).',
    )
    .addHelpText('after', examples('promptsync status', 'promptsync status --json'))
    .action(action(outcome, showStatus))
}

async function showStatus(context: Context): Promise<ExitCode> {
  const { exitCodeOfState, readState } = await import('../server/state.js')
  const state = await readState(context)
  if (context.options.json) context.output.json(withoutCodes(state))
  else for (const [label, ...lines] of describe(state)) showPart(context, label, lines)
  return exitCodeOfState(state)
}

/** Exit codes are for us: a program gets the one of the whole. */
function withoutCodes(state: State): object {
  return JSON.parse(JSON.stringify(state, (name, value) => (name === 'exitCode' ? undefined : value)))
}

const labelWidth = 10

function showPart({ output }: Context, label: string, lines: string[]): void {
  const head = output.paint('bold', label.padEnd(labelWidth))
  output.data(lines.map((line, index) => `${index === 0 ? head : ' '.repeat(labelWidth)}${visible(line)}\n`).join(''))
}

type Part = [label: string, ...lines: string[]]

function describe(state: State): Part[] {
  const { key, newest, aliases } = state
  const parts: (Part | null)[] = [
    ['Server', ...serverLines(state)],
    ['Key', keyLine(state)],
    ['Project', projectLine(state)],
    newest && !isSaid(newest, [key]) ? ['Newest', ...newestLines(newest)] : null,
    aliases && !isSaid(aliases, [key, newest]) ? ['Aliases', ...aliasLines(aliases)] : null,
    ['Local', ...localLines(state)],
    ['Git', gitLine(state)],
  ]
  return parts.filter((part) => part !== null)
}

/** Whether a part went wrong in the same way as one before it: once is enough. */
function isSaid(part: object, before: (object | null)[]): boolean {
  const errorOf = (one: object | null) => (one !== null && 'error' in one ? one.error : null)
  return before.some((other) => errorOf(part) !== null && errorOf(other) === errorOf(part))
}

function serverLines({ server }: State): string[] {
  const place = `${server.url} (from ${server.from})`
  return 'error' in server ? [place, server.error] : [`${place}: ${server.status}, version ${server.version}`]
}

function keyLine({ key }: State): string {
  if (key === null) return 'none: log in by promptsync login, or set PROMPTSYNC_TOKEN'
  return `${'error' in key ? key.error : describeAccess(key)} (from ${key.from})`
}

function projectLine({ project: { slug, from } }: State): string {
  return slug === null ? from : `${slug} (from ${from})`
}

/** What is wrong, and what to do about it. */
function troubleLines({ error, remedy }: Trouble): string[] {
  return remedy === null ? [error] : [error, remedy]
}

function newestLines(newest: NonNullable<State['newest']>): string[] {
  if ('error' in newest) return troubleLines(newest)
  const { release } = newest
  if (release === null) return ['there is no release yet']
  const by = release.message === null ? '' : `: ${release.message.split('\n')[0]}`
  return [`${release.ref}, ${release.createdAt.slice(0, 16).replace('T', ' ')} UTC${by}`]
}

function aliasLines(aliases: NonNullable<State['aliases']>): string[] {
  if ('error' in aliases) return troubleLines(aliases)
  if (aliases.items.length === 0) return ['there are none yet']
  const names = aliases.items.map(({ name, prompt }) => (prompt === null ? name : `${name} of ${prompt}`))
  const width = Math.max(...names.map((name) => name.length))
  return aliases.items.map(({ release, version, canary }, index) => {
    const target = version ?? release ?? ''
    const share = canary === null ? '' : `, canary ${canary.version ?? canary.release} for ${canary.percentage} %`
    return `${(names[index] ?? '').padEnd(width)}  ${target}${share}`
  })
}

const maxNames = 10

function localLines({ local, newest }: State): string[] {
  if ('error' in local) return troubleLines(local)
  const { path, count, comparedWith, changed, added, missing } = local
  const there = `${count === 0 ? 'no prompts' : count === 1 ? '1 prompt' : `${count} prompts`} in ${path}`
  if (comparedWith === null && (newest === null || 'error' in newest)) return [`${there}, not compared`]
  if (comparedWith === null) return [`${there}, not pushed yet`]
  const { ref, release } = comparedWith
  const against = ref === release ? ref : `${ref} (${release})`
  const differing = changed.length + added.length
  const verdict = differing === 0 ? `all as in ${against}` : `${differing} not as in ${against}`
  return [
    count === 0 ? there : `${there}, ${verdict}`,
    ...namesLine('changed', changed),
    ...namesLine('new', added),
    ...namesLine(`only in ${ref}`, missing),
    ...(differing > 0 ? ['See promptsync diff, then promptsync push.'] : []),
  ]
}

function namesLine(label: string, names: LocalChanges['changed']): string[] {
  if (names.length === 0) return []
  const more = names.length > maxNames ? ` and ${names.length - maxNames} more` : ''
  return [`${label}: ${names.slice(0, maxNames).join(', ')}${more}`]
}

function gitLine({ git }: State): string {
  if (git === null) return 'no repository, or no commit in it yet'
  const { branch, commit, dirty, repo } = git
  const where = repo === null ? '' : ` of ${repo}`
  return `${branch ?? 'no branch'} at ${commit.slice(0, 7)}${where}, ${dirty ? 'with changes that are not committed' : 'clean'}`
}
