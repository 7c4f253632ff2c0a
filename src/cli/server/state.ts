import { PromptsyncError } from '../../client/problem.js'
import type { Context } from '../context.js'
import { CliError, type ExitCode, exitCodeOf, exitCodes } from '../exit-codes.js'
import { type GitState, readGit } from '../local/git.js'
import { compareLocal, type LocalChanges, readLocal } from '../local/local-changes.js'
import type { AnswerOf } from './api.js'
import { type KeyAccess, readKeyAccess } from './key-access.js'
import { readList } from './lists.js'
import { remedyOf } from './remedies.js'

type Alias = AnswerOf<'getAlias'>
type Release = AnswerOf<'listReleases'>['items'][number]

/** What went wrong with a part of the state; the other parts are told all the same. */
export type Trouble = { error: string; remedy: string | null; exitCode: ExitCode }

export type Told<Part> = Part | Trouble

/** Where things stand. What needs the server is null where it does not answer. */
export type State = {
  server: { url: string; from: string } & Told<{ status: string; version: string }>
  key: ({ from: string } & Told<KeyAccess>) | null
  project: { slug: string | null; from: string; isGuess: boolean; settingsFile: string | null }
  newest: Told<{ release: Release | null }> | null
  aliases: Told<{ items: Alias[] }> | null
  local: Told<LocalChanges>
  git: GitState | null
}

/** The server is asked before the rest: if it is away, nobody wants to wait for each part. */
const firstAnswerTimeoutMs = 5_000
const maxAliases = 200

export async function readState(context: Context): Promise<State> {
  const { url, urlFrom, tokenFrom } = context.server()
  const { slug, from, isGuess, settingsFile } = await context.project()
  const health = await told(context, async () => {
    const { body } = await context.globalApi<Health>({ path: '/health', timeoutMs: firstAnswerTimeoutMs })
    const { status, version } = body ?? {}
    if (typeof status === 'string' && typeof version === 'string') return { status, version }
    throw new CliError(`${url} is not promptsync: it does not tell its version.`, { remedy: 'Check the address.' })
  })
  const isThere = !('error' in health)
  const [key, newest, aliases] = await Promise.all([
    tokenFrom !== null && isThere ? told(context, () => readKeyAccess(context.globalApi)) : null,
    isThere ? told(context, () => readNewest(context)) : null,
    isThere ? told(context, () => readList<Alias>(context, { path: '/aliases', limit: maxAliases })) : null,
  ])
  return {
    server: { url, from: urlFrom, ...health },
    key: tokenFrom === null ? null : { from: tokenFrom, ...(key ?? { name: null, scopes: null }) },
    project: { slug, from, isGuess, settingsFile },
    newest,
    aliases,
    local: await told(context, () => readChanges(context, newest, aliases)),
    git: readGit(context.cwd, context.env),
  }
}

type Health = { status?: unknown; version?: unknown }

async function readNewest(context: Context): Promise<{ release: Release | null }> {
  const { body } = await context.api<AnswerOf<'listReleases'>>({ path: '/releases', query: { limit: 1 } })
  return { release: body.items[0] ?? null }
}

/** Against what a push builds on: the alias of the settings where there is one, else the newest release. */
async function readChanges(context: Context, newest: State['newest'], aliases: State['aliases']): Promise<LocalChanges> {
  const local = await readLocal(context)
  if (newest === null || 'error' in newest || aliases === null || 'error' in aliases) return compareLocal(context, local, null)
  const { settings } = await context.project()
  const isThere = aliases.items.some(({ name, prompt }) => name === settings.alias && prompt === null)
  return compareLocal(context, local, isThere ? (settings.alias ?? null) : (newest.release?.ref ?? null))
}

async function told<Part extends object>(context: Context, read: () => Promise<Part>): Promise<Told<Part>> {
  try {
    return await read()
  } catch (error) {
    const isForeseen = error instanceof PromptsyncError || error instanceof CliError
    if (!isForeseen || context.signal.aborted) throw error
    const remedy = await remedyOf(context, error)
    return { error: error.message, remedy, exitCode: exitCodeOf(error) }
  }
}

/** The exit code of the first part that something is wrong with. Pure. */
export function exitCodeOfState({ server, key, newest, aliases, local }: State): ExitCode {
  const trouble = [server, key, newest, aliases, local].find((part) => part !== null && 'error' in part)
  return trouble && 'error' in trouble ? trouble.exitCode : exitCodes.ok
}
