import { type Answer, type Call, type Connection, callApi } from '../client/http.js'
import { PromptsyncError } from '../client/problem.js'
import { packageVersion } from '../lib/package-version.js'
import { CliError, exitCodes } from './exit-codes.js'
import { type FoundProject, findProject } from './local/project.js'
import { curlOf } from './server/curl.js'
import { readLogins } from './server/login-file.js'
import { nodeFetch } from './server/node-fetch.js'
import { createOutput, type Output } from './terminal/output.js'

/** The options that every command takes. */
export type GlobalOptions = { project?: string; json?: boolean; quiet?: boolean; curl?: boolean; timeout?: number }

/** Where a command finds the server, and how that was told. */
export type Server = { url: string; urlFrom: string; token: string | null; tokenFrom: string | null }

/** What a command works with. */
export type Context = {
  output: Output
  options: GlobalOptions
  env: NodeJS.ProcessEnv
  cwd: string
  stdin: NodeJS.ReadStream
  /** Aborted by Ctrl-C: what is sent or written then is given up. */
  signal: AbortSignal
  /** Whether somebody can be asked. */
  canAsk: boolean
  server(): Server
  /** The project that is named somewhere, and where; `slug` is null for the key's own, else `default`. */
  project(): Promise<FoundProject>
  /** Calls the server for the project. Throws `PromptsyncError`. */
  api<Body>(call: Call): Promise<Answer<Body>>
  /** The same for what concerns no project, or all of them. */
  globalApi<Body>(call: Call): Promise<Answer<Body>>
}

const defaultUrl = 'http://127.0.0.1:3000'
const defaultTimeoutSeconds = 30

export function createContext(options: GlobalOptions, process: NodeJS.Process, signal: AbortSignal): Context {
  const { env, stdin } = process
  const cwd = currentFolder(process)
  const output = createOutput(process, { json: options.json === true, quiet: options.quiet === true, env })
  let server: Server | undefined
  let project: Promise<FoundProject> | undefined
  const context: Context = {
    ...{ output, options, env, cwd, stdin, signal },
    canAsk: stdin.isTTY === true && process.stderr.isTTY === true && options.json !== true,
    server: () => (server ??= findServer(env)),
    project: () => (project ??= findProject({ flag: options.project, env, cwd })),
    api: async (call) => callFor(context, (await context.project()).slug, call),
    globalApi: (call) => callFor(context, null, call),
  }
  return context
}

function currentFolder(process: NodeJS.Process): string {
  try {
    return process.cwd()
  } catch (error) {
    throw new CliError('The current folder is gone.', { remedy: 'Go to another one: cd', cause: error })
  }
}

/** A key that was stored for one address goes to no other one. */
function findServer(env: NodeJS.ProcessEnv): Server {
  const given = env.PROMPTSYNC_URL?.trim() || null
  if (given !== null) checkAddress(given)
  const token = env.PROMPTSYNC_TOKEN?.trim() || null
  if (token !== null) checkToken(token, 'PROMPTSYNC_TOKEN')
  if (given !== null && token !== null) return { url: given, urlFrom: 'PROMPTSYNC_URL', token, tokenFrom: 'PROMPTSYNC_TOKEN' }
  const { current, tokens } = readLogins(env)
  const url = given ?? current ?? defaultUrl
  const urlFrom = given !== null ? 'PROMPTSYNC_URL' : current !== null ? 'the login' : 'the default'
  if (token !== null) return { url, urlFrom, token, tokenFrom: 'PROMPTSYNC_TOKEN' }
  const stored = Object.hasOwn(tokens, addressKey(url)) ? (tokens[addressKey(url)] ?? null) : null
  return { url, urlFrom, token: stored, tokenFrom: stored === null ? null : 'the login' }
}

/** Throws a `CliError` where an address cannot be that of a service. */
export function checkAddress(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw new CliError(`"${withoutPassword(url)}" is no address of a service.`, {
      remedy: `Give one such as ${defaultUrl} or https://prompts.example.com.`,
    })
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new CliError('The address of the service holds a user or a password.', {
      remedy: 'Leave them out: keys go into PROMPTSYNC_TOKEN.',
    })
  }
  if (parsed.search !== '' || parsed.hash !== '')
    throw new CliError(`The address ${parsed.origin}${parsed.pathname} goes on with a "?" or "#".`, { remedy: 'Leave that out.' })
}

function withoutPassword(text: string): string {
  return text.replace(/\/\/[^/]*@/, '//')
}

/** Throws a `CliError` where a key cannot be sent. It never shows the key. `from` says where it was found. */
export function checkToken(token: string, from: string): void {
  if (/^[\x21-\x7e]{1,512}$/.test(token)) return
  throw new CliError(`${from} holds no key: there are spaces, line breaks or other characters in it that no key has.`, {
    remedy: 'Copy the key again, as one line that begins with ps_.',
    exitCode: exitCodes.denied,
  })
}

/** Addresses that mean the same service are stored once. `url` has been checked. */
export function addressKey(url: string): string {
  return URL.canParse(url) ? new URL(url).href.replace(/\/+$/, '') : url
}

function callFor<Body>(context: Context, project: string | null, call: Call): Promise<Answer<Body>> {
  return callServer(context, { ...context.server(), project }, call)
}

/** Calls a server that need not be the one that the context names. Throws `PromptsyncError`. */
export async function callServer<Body>(context: Context, target: Target, call: Call): Promise<Answer<Body>> {
  const { signal, options, output } = context
  const timeoutMs = options.timeout === undefined ? call.timeoutMs : options.timeout * 1_000
  const connection: Connection = {
    ...{ url: target.url, token: target.token, project: target.project ?? null },
    ...{ fetch: nodeFetch as unknown as typeof globalThis.fetch, timeoutMs: defaultTimeoutSeconds * 1_000 },
    headers: { 'user-agent': `promptsync-cli/${packageVersion}` },
    ...(options.curl ? { onRequest: (request) => output.warn(curlOf(request)) } : {}),
  }
  const answer = await callApi<Body>(connection, { signal, ...call, timeoutMs })
  if (call.accept !== 'text' && typeof (answer.body ?? undefined) !== 'object') throw notPromptsync(target, answer)
  return answer
}

/** Another service may answer JSON as well; whatever promptsync answers is an object. */
function notPromptsync({ url }: Target, { status }: Answer<unknown>): PromptsyncError {
  const detail = `${url} answered ${status} with no object, which is no answer of promptsync. Check the address, and proxies on the way.`
  return new PromptsyncError('client.not_promptsync', detail, { status })
}

type Target = { url: string; token: string | null; project?: string | null }
