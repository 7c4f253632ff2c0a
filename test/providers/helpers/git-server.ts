import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Teardown } from '../../helpers/service.js'

export type RepositoryFiles = Record<string, string | Buffer>

/** What goes wrong with the requests that `at` names; all of them by default. */
export type GitFault = {
  /** `stall` sends no more, `cut` ends the connection, `status` answers it alone, with `body`. */
  kind: 'stall' | 'cut' | 'status'
  at?: 'refs' | 'pack'
  /** Of `stall` and `cut`: after so many bytes of the body; 0 answers nothing at all. */
  afterBytes?: number
  status?: number
  headers?: Record<string, string>
  /** May repeat what the request said. */
  body?: (request: IncomingMessage) => string
}

export type GitRepository = {
  name: string
  directory: string
  /** Makes these the files there are, in a new commit of the branch, and gives its hash. */
  commit(files: RepositoryFiles, options?: CommitOptions): Promise<string>
  /** Runs git in the repository and gives what it prints. */
  git(args: readonly string[], input?: string | Buffer): Promise<string>
}

/** `links` are symbolic links with where they lead, `submodules` have the commit they are at. */
export type CommitOptions = { branch?: string; links?: Record<string, string>; submodules?: Record<string, string> }

export type GitServer = {
  origin: string
  port: number
  /** The directory that its repositories are in. */
  root: string
  /** Requests so far, as `GET /name/info/refs?service=git-upload-pack`. */
  requests: string[]
  /** Bytes of bodies sent so far. */
  sentBytes(): number
  /** A request without it is answered 401. */
  token: string | null
  fault: GitFault | null
  /** How the next request is waited for that reached a fault. */
  faultReached(): Promise<void>
  createRepository(name: string, options?: { filters?: boolean }): Promise<GitRepository>
  url(name: string): string
  /** Refuses connections until `restore`, which does nothing where it is not away. */
  goAway(): Promise<void>
  restore(): Promise<void>
}

/** Git's own settings of this machine and its user must not decide what a test does. */
const environment = {
  PATH: process.env.PATH,
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Test',
  GIT_AUTHOR_EMAIL: 'test@example.com',
  GIT_COMMITTER_NAME: 'Test',
  GIT_COMMITTER_EMAIL: 'test@example.com',
}

/** Runs git to its end; rejects with what it complained of. */
export async function runGit(args: readonly string[], input: string | Buffer = '', cwd = tmpdir()): Promise<string> {
  const child = spawn('git', args, { cwd, env: environment, stdio: ['pipe', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (texts.stdout += chunk))
  child.stderr.on('data', (chunk) => (texts.stderr += chunk))
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on('close', resolve)
    child.on('error', (cause) => reject(new Error('The tests of Git sources need the program "git" in PATH.', { cause })))
  })
  // A program that ends early says why itself.
  child.stdin.on('error', () => {}).end(input)
  const code = await closed
  if (code !== 0) throw new Error(`git ${args.join(' ')} ended with ${code}: ${texts.stderr}`)
  return texts.stdout.trim()
}

/** A real `git http-backend` behind HTTP on a free port of the loopback. It ends with the test, and so do its repositories. */
export async function startGitServer(t: Teardown): Promise<GitServer> {
  const root = await mkdtemp(join(tmpdir(), 'promptsync-git-'))
  const backends = new Set<ChildProcessByStdio<Writable, Readable, null>>()
  const state = { sentBytes: 0, faultReached: () => {} }
  const server = createServer((request, response) => void answer(request, response))
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    git.requests.push(`${request.method} ${request.url}`)
    const sent = `Basic ${Buffer.from(`x-access-token:${git.token}`).toString('base64')}`
    const fault = faultFor(git.fault, request)
    if (fault) state.faultReached()
    if (fault?.kind === 'status') return sendStatus(request, response, fault)
    if (git.token !== null && request.headers.authorization !== sent) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('Authentication required.')
      return
    }
    if (fault && !fault.afterBytes) {
      if (fault.kind === 'cut') request.socket.destroy()
      return
    }
    const backend = startBackend(root, request)
    backends.add(backend)
    backend.on('close', () => backends.delete(backend))
    request.pipe(backend.stdin.on('error', () => backend.kill('SIGKILL')))
    response.on('close', () => backend.kill('SIGKILL'))
    await sendAnswer(backend.stdout, response, fault, (bytes) => (state.sentBytes += bytes))
  }
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  const origin = `http://127.0.0.1:${port}`
  const git: GitServer = {
    origin,
    port,
    root,
    requests: [],
    sentBytes: () => state.sentBytes,
    token: null,
    fault: null,
    faultReached: () => new Promise((resolve) => (state.faultReached = resolve)),
    createRepository: (name, options) => createRepository(root, name, options),
    url: (name) => `${origin}/${name}`,
    goAway: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
    restore: async () => {
      if (!server.listening) await listen(port)
    },
  }
  t.teardown(async () => {
    if (server.listening) await git.goAway()
    for (const backend of backends) backend.kill('SIGKILL')
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  })
  return git
}

/** A repository that is served, without a commit so far. */
async function createRepository(
  root: string,
  name: string,
  { filters = true }: { filters?: boolean } = {},
): Promise<GitRepository> {
  const directory = join(root, name)
  await runGit(['init', '--quiet', '--bare', '--template=', '--initial-branch=main', directory])
  await runGit(['config', 'uploadpack.allowFilter', String(filters)], '', directory)
  const tips = new Map<string, string>()
  const git = (args: readonly string[], input?: string | Buffer) => runGit(args, input, directory)
  const commit = async (files: RepositoryFiles, { branch = 'main', links = {}, submodules = {} }: CommitOptions = {}) => {
    const parent = tips.get(branch)
    const head = [
      `commit refs/heads/${branch}\nmark :1\ncommitter Test <test@example.com> ${1_700_000_000 + tips.size} +0000\n`,
      dataOf('A change\n'),
      parent ? `from ${parent}\n` : '',
      'deleteall\n',
    ]
    const entries = [
      ...Object.entries(files).map(([path, content]) => [`M 100644 inline ${quoted(path)}\n`, dataOf(content)]),
      ...Object.entries(links).map(([path, leadsTo]) => [`M 120000 inline ${quoted(path)}\n`, dataOf(leadsTo)]),
      ...Object.entries(submodules).map(([path, at]) => [`M 160000 ${at} ${quoted(path)}\n`]),
    ]
    const stream = [...head, ...entries.flat(), 'get-mark :1\n', 'done\n'].map((part) => Buffer.from(part as string))
    const hash = await git(['fast-import', '--quiet', '--done', '--force', '--cat-blob-fd=1'], Buffer.concat(stream))
    tips.set(branch, hash)
    return hash
  }
  return { name, directory, commit, git }
}

const dataOf = (content: string | Buffer) => {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from('\n')])
}

const quoted = (path: string) => `"${path.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`

function faultFor(fault: GitFault | null, request: IncomingMessage): GitFault | null {
  const place = request.url?.includes('/info/refs') ? 'refs' : 'pack'
  return fault && (fault.at ?? place) === place ? fault : null
}

function sendStatus(request: IncomingMessage, response: ServerResponse, { status = 500, headers, body }: GitFault): void {
  response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(body?.(request) ?? 'Out of order.')
}

function startBackend(root: string, request: IncomingMessage) {
  const { pathname, search } = new URL(request.url ?? '/', 'http://localhost')
  const {
    'content-type': type,
    'content-length': length,
    'content-encoding': encoding,
    'git-protocol': version,
  } = request.headers
  return spawn('git', ['http-backend'], {
    env: {
      ...environment,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REQUEST_METHOD: request.method,
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: search.slice(1),
      REMOTE_ADDR: '127.0.0.1',
      ...(type && { CONTENT_TYPE: type }),
      ...(length && { CONTENT_LENGTH: length }),
      ...(encoding && { HTTP_CONTENT_ENCODING: encoding }),
      ...(version && { GIT_PROTOCOL: String(version) }),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
}

/** Sends what the program answers, as far as the fault lets it. */
async function sendAnswer(
  output: Readable,
  response: ServerResponse,
  fault: GitFault | null,
  count: (bytes: number) => void,
): Promise<void> {
  const closed = once(response, 'close')
  let head: Buffer | null = Buffer.alloc(0)
  let left = fault?.afterBytes ?? Number.POSITIVE_INFINITY
  for await (const chunk of output as AsyncIterable<Buffer>) {
    let body = chunk
    if (head) {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) continue
      const { status, headers } = parseHead(head.subarray(0, end).toString('latin1'))
      response.writeHead(status, headers)
      body = head.subarray(end + 4)
      head = null
    }
    const taken = body.subarray(0, left)
    left -= taken.length
    count(taken.length)
    if (!response.write(taken)) await Promise.race([once(response, 'drain'), closed])
    if (response.destroyed) return
    if (left === 0 && fault?.kind === 'cut') response.socket?.end()
    if (left === 0) return
  }
  response.end()
}

function parseHead(text: string): { status: number; headers: Record<string, string> } {
  const fields = text.split('\r\n').map((line) => /^([^:]+):\s*(.*)$/.exec(line))
  const headers = Object.fromEntries(
    fields.flatMap((field) => (field ? [[String(field[1]).toLowerCase(), String(field[2])]] : [])),
  )
  const { status = '200', ...others } = headers
  return { status: Number.parseInt(status, 10), headers: others }
}
