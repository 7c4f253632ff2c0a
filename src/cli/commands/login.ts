import type { Command } from 'commander'
import { PromptsyncError } from '../../client/problem.js'
import { addressKey, type Context, callServer, checkAddress, checkToken } from '../context.js'
import { CliError, exitCodes } from '../exit-codes.js'
import { groups } from '../groups.js'
import { action, type Outcome } from '../run.js'
import { describeAccess, type KeyAccess, readKeyAccess } from '../server/key-access.js'
import { loginFile, readLogins, writeLogins } from '../server/login-file.js'
import { ask } from '../terminal/ask.js'
import { plainCommandLine } from '../terminal/command-line.js'
import { examples } from '../terminal/help-text.js'
import { readInput } from '../terminal/read-input.js'

/** `login` and `logout`: the key that is used where PROMPTSYNC_TOKEN is not set. */
export function addLoginCommands(program: Command, outcome: Outcome): void {
  program
    .command('login')
    .helpGroup(groups.setup)
    .summary('store a key for a server')
    .description(
      'Checks a key and stores it for its server, in a file that only you can read. On a terminal it asks for both; elsewhere the key is read from stdin. PROMPTSYNC_URL and PROMPTSYNC_TOKEN go before what is stored.',
    )
    .argument('[url]', 'the address of the server')
    .option('--with-token', 'read the key from stdin, on a terminal as well')
    .addHelpText('after', examples('promptsync login', 'promptsync login https://prompts.example.com < key.txt'))
    .action(action<{ withToken?: boolean }>(outcome, logIn))
  program
    .command('logout')
    .helpGroup(groups.setup)
    .summary('forget the key of a server')
    .description('Forgets the key that was stored for a server. The key itself stays good until it is revoked.')
    .argument('[url]', 'the address of the server; by default that of the last login')
    .addHelpText('after', examples('promptsync logout'))
    .action(action(outcome, logOut))
}

async function logIn(context: Context, [given]: string[], { withToken }: { withToken?: boolean }): Promise<void> {
  const asks = context.canAsk && !withToken
  const usual = usualAddress(context)
  const url = given ?? (asks ? await ask(context, 'Address of the server', { otherwise: usual }) : usual)
  checkAddress(url)
  const token = asks ? await ask(context, 'Key (it is not shown)', { echo: 'hidden' }) : await readStdin(context)
  if (token === '') throw new CliError('No key was given.', { remedy: noKeyRemedy, exitCode: exitCodes.denied })
  checkToken(token, 'What was given')
  const access = await checkKey(context, url, token)
  const logins = readLogins(context.env)
  const address = addressKey(url)
  const stored = !Object.hasOwn(logins.tokens, address) ? 'new' : logins.tokens[address] === token ? 'same' : 'other'
  writeLogins(context.env, { current: address, tokens: { ...logins.tokens, [address]: token } })
  report(context, { url: address, access, stored, before: logins.current })
}

async function checkKey(context: Context, url: string, token: string): Promise<KeyAccess> {
  try {
    return await readKeyAccess((call) => callServer(context, { url, token }, call))
  } catch (error) {
    if (!(error instanceof PromptsyncError) || error.status !== 401) throw error
    const remedy = `Nothing was stored. Give a key of ${url}.`
    throw new CliError(error.message, { remedy, exitCode: exitCodes.denied, cause: error })
  }
}

const noKeyRemedy = 'Pass it by stdin: promptsync login < key.txt. The first key of a server is made by its first start.'

/** What a login means without an address. A key in the environment is no matter here. */
function usualAddress({ env, server }: Context): string {
  return env.PROMPTSYNC_URL?.trim() || server().url
}

/** `stored` is what the key is to the one that was stored for the server, `before` the server that commands went to. */
type Done = { url: string; access: KeyAccess; stored: 'new' | 'same' | 'other'; before: string | null }

const outcomes = {
  new: { done: 'The key is stored', undo: 'promptsync logout' },
  same: { done: 'The key was stored already', undo: null },
  other: { done: 'The key replaces the one before', undo: 'log in with the key before' },
}

function report({ output, options, env }: Context, { url, access, stored, before }: Done): void {
  const { done, undo } = outcomes[stored]
  const file = loginFile(env)
  if (options.json) output.json({ url, key: access, file })
  output.note(`Logged in to ${url} by ${describeAccess(access)}.`)
  output.note(`${done} in ${file}.`)
  if (isReadableOnTheWay(url)) output.warn(`${url} is not https: others can read the key on the way.`)
  if (env.PROMPTSYNC_TOKEN?.trim()) output.warn('PROMPTSYNC_TOKEN is set and goes before the stored key.')
  if (undo) output.note(`Undo: ${undo}`)
  if (before === null || before === url) return
  const back = plainCommandLine('login', before)
  output.note(undo ? `And for commands to go to ${before} again: ${back}` : `Undo: ${back}`)
}

function isReadableOnTheWay(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'http:' && hostname !== 'localhost' && hostname !== '[::1]' && !hostname.startsWith('127.')
}

async function readStdin(context: Context): Promise<string> {
  const text = await readInput(context, { maxBytes: 10_000, tooLong: 'What stdin holds is too long for a key.' })
  return text.trim()
}

async function logOut({ env, output, options }: Context, [given]: string[]): Promise<void> {
  if (given !== undefined) checkAddress(given)
  const { current, tokens } = readLogins(env)
  const url = given === undefined ? current : addressKey(given)
  const isStored = url !== null && Object.hasOwn(tokens, url)
  if (isStored) {
    const { [url]: _forgotten, ...others } = tokens
    writeLogins(env, { current: current === url ? null : current, tokens: others })
  }
  if (options.json) output.json({ url, removed: isStored })
  if (!isStored) output.note(url === null ? 'Nobody is logged in.' : `No key is stored for ${url}.`)
  else
    output.note(
      `Forgot the key for ${url}. It stays good until it is revoked: promptsync key revoke\nUndo: promptsync login ${url}`,
    )
}
