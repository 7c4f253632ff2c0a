import { rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { AppError, tryLater } from '../errors.js'
import { findAllowedAddresses, type Resolve } from '../lib/allowed-hosts.js'
import { formatGitAddress, type GitAddress } from '../lib/git-address.js'
import { type AskedGit, explainGitFailure, statusOfGit } from '../lib/git-failures.js'
import { requireGit } from '../lib/git-objects.js'
import { createGitRepository, type GitResult, runGit } from '../lib/git-program.js'
import type { ProviderContext } from './provider.js'

export type GitCredentials = {
  token?: string | undefined
  username?: string | undefined
  sshKey?: string | undefined
  hostKeys?: readonly string[] | undefined
}

export type GitRequest = {
  /** For the log of the run. */
  what: string
  args: readonly string[]
  settings?: Record<string, string>
  input?: string
  maxOutputBytes?: number
  maxFileBytes?: number
}

export type GitAnswer = GitResult & { error: AppError | null }

/** The other side. In commands it is called `origin`. */
export type GitRemote = { asked: AskedGit; ask(request: GitRequest): Promise<GitAnswer> }

/** How Git gets to the other side, and to no place else. */
type Route = { settings: Record<string, string>; environment: Record<string, string> }

/** What most hosts take for the user of a token. */
const defaultUsername = 'x-access-token'
const defaultOutputBytes = 64 * 1024
const keyFile = 'identity'
const hostsFile = 'known_hosts'

export function describeGit(address: GitAddress, { token }: GitCredentials, { requestTimeoutMs }: ProviderContext): AskedGit {
  const { host, port, protocol } = address
  const name = formatGitAddress(address)
  return { name, host, port, protocol, hasToken: token !== undefined, timeoutMs: requestTimeoutMs }
}

/** Works with the other side. Its address is looked up once and checked, and Git is bound to what was checked. */
export async function withGitRemote<T>(
  address: GitAddress,
  credentials: GitCredentials,
  context: ProviderContext,
  work: (remote: GitRemote) => Promise<T>,
  resolve?: Resolve,
): Promise<T> {
  const asked = describeGit(address, credentials, context)
  const addresses = await findAddresses(asked, context, resolve)
  await createGitRepository(context.workspace)
  await requireGit({ workspace: context.workspace, signal: context.signal, asked })
  if (address.protocol !== 'ssh') return work(remoteBy(webRoute(address, credentials, addresses), asked, context))
  const [first = ''] = addresses
  try {
    await writeSshFiles(context.workspace, credentials)
    return await work(remoteBy(shellRoute(address, first, context), asked, context))
  } finally {
    await rm(join(context.workspace, keyFile), { force: true })
  }
}

function remoteBy(route: Route, asked: AskedGit, context: ProviderContext): GitRemote {
  const ask = async ({ what, args, settings, input = '', ...limits }: GitRequest): Promise<GitAnswer> => {
    const result = await runGit({
      workspace: context.workspace,
      args,
      input,
      settings: { ...fetchSettings(asked), ...route.settings, ...settings },
      environment: { GIT_ALLOW_PROTOCOL: asked.protocol, ...route.environment },
      timeoutMs: context.requestTimeoutMs,
      signal: context.signal,
      maxOutputBytes: defaultOutputBytes,
      ...limits,
    })
    const error = result.end === 'done' ? null : explainGitFailure(result, asked)
    const statusCode = asked.protocol === 'ssh' ? null : statusOfGit(result)
    context.note({ what, statusCode, durationMs: result.durationMs, error: error?.message ?? null })
    return { ...result, error }
  }
  return { asked, ask }
}

/**
 * `origin` is said to hold all that is missing here, so that Git takes packs with holes; told by the environment and not by
 * the repository, it is not asked when something is missing later on.
 */
function fetchSettings({ name, timeoutMs }: AskedGit): Record<string, string> {
  return {
    'remote.origin.url': name,
    'remote.origin.promisor': 'true',
    'remote.origin.partialclonefilter': 'blob:none',
    'protocol.version': '2',
    'fetch.fsckObjects': 'true',
    ...sloppinessAllowed,
    // Always into one pack, which is a file with a limit.
    'fetch.unpackLimit': '1',
    // There is no history here that could be told of.
    'fetch.negotiationAlgorithm': 'noop',
    'fetch.recurseSubmodules': 'false',
    'transfer.bundleURI': 'false',
    // Where this process was killed, Git ends by itself.
    'http.lowSpeedLimit': '1',
    'http.lowSpeedTime': String(Math.max(1, Math.ceil(timeoutMs / 1000))),
  }
}

/** What old programs wrote into good repositories, and what has no meaning where nothing is checked out. */
const sloppinessAllowed = Object.fromEntries(
  [
    ...['badDate', 'badDateOverflow', 'badEmail', 'badName', 'badTimezone', 'missingEmail', 'missingNameBeforeEmail'],
    ...['missingSpaceBeforeDate', 'missingSpaceBeforeEmail', 'multipleAuthors', 'zeroPaddedDate', 'zeroPaddedFilemode'],
    ...['gitmodulesLarge', 'gitmodulesMissing', 'gitmodulesName', 'gitmodulesParse', 'gitmodulesPath', 'gitmodulesUpdate'],
    ...['gitmodulesUrl', 'gitmodulesBlob', 'gitmodulesSymlink'],
  ].map((name) => [`fetch.fsck.${name}`, 'ignore']),
)

function webRoute(address: GitAddress, { token, username = defaultUsername }: GitCredentials, addresses: string[]): Route {
  const { host, port, protocol } = address
  const pin = `${host}:${port}:${addresses.map((one) => (one.includes(':') ? `[${one}]` : one)).join(',')}`
  const authorization = `Basic ${Buffer.from(`${username}:${token}`).toString('base64')}`
  return {
    settings: {
      // An address has no name that could be looked up.
      ...(isIP(host) ? {} : { 'http.curloptResolve': pin }),
      'http.followRedirects': 'false',
      'http.proxy': '',
      'http.sslVerify': 'true',
      // Servers do not take the password of a user in the clear, unless an admin has allowed the host.
      ...(token === undefined
        ? {}
        : { [`http.${protocol}://${hostInUrl(host)}:${port}/.extraHeader`]: `Authorization: ${authorization}` }),
    },
    environment: { NO_PROXY: '*' },
  }
}

const hostInUrl = (host: string) => (host.includes(':') ? `[${host}]` : host)

/** ssh takes no settings but these, no keys but the given one, and no host but the one whose key is known. */
function shellRoute({ host, port }: GitAddress, ipAddress: string, { requestTimeoutMs }: ProviderContext): Route {
  const options = [
    `HostName=${ipAddress}`,
    `HostKeyAlias=${port === 22 ? host : `[${host}]:${port}`}`,
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${hostsFile}`,
    'GlobalKnownHostsFile=/dev/null',
    'UpdateHostKeys=no',
    'CheckHostIP=no',
    `IdentityFile=${keyFile}`,
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'PreferredAuthentications=publickey',
    'BatchMode=yes',
    'ClearAllForwardings=yes',
    'ControlPath=none',
    `ConnectTimeout=${Math.max(1, Math.ceil(requestTimeoutMs / 1000))}`,
    'ServerAliveInterval=15',
  ]
  const command = ['ssh', '-F', '/dev/null', ...options.flatMap((option) => ['-o', `'${option}'`])].join(' ')
  return { settings: {}, environment: { GIT_SSH_COMMAND: command } }
}

/** In the workspace, which is where programs run: so their names need no quoting. */
async function writeSshFiles(workspace: string, { sshKey = '', hostKeys = [] }: GitCredentials): Promise<void> {
  const key = `${sshKey.replaceAll('\r\n', '\n').trim()}\n`
  await writeFile(join(workspace, hostsFile), `${hostKeys.join('\n')}\n`)
  await writeFile(join(workspace, keyFile), key, { mode: 0o600 })
}

async function findAddresses(asked: AskedGit, context: ProviderContext, resolve?: Resolve): Promise<string[]> {
  const { host, port, protocol, name } = asked
  if (protocol === 'http' && !context.allowedHosts.allows(host, port)) {
    throw new AppError(
      'source.blocked',
      `${name} is plain http. Use https, or have the host added to \`PROMPTSYNC_ALLOWED_HOSTS\`.`,
    )
  }
  const clock = AbortSignal.timeout(context.requestTimeoutMs)
  const signal = AbortSignal.any([context.signal, clock])
  try {
    signal.throwIfAborted()
    const found = await findAllowedAddresses(context.allowedHosts, { host, port, signal }, resolve)
    // Many places have no way to IPv6, and ssh tries one address alone.
    return found.sort((one, other) => one.family - other.family).map(({ address }) => address)
  } catch (error) {
    if (error instanceof AppError) throw error
    if (context.signal.aborted) throw tryLater('source.unreachable', `${name} was not asked: the call was stopped.`, 60)
    throw tryLater('source.unreachable', `The name server did not answer for "${host}" within ${asked.timeoutMs} ms.`, 60)
  }
}
