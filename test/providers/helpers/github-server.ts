import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../helpers/service.js'
import { archiveOf } from './github-archive.js'
import { createRepository, type Entry, type Repository } from './github-objects.js'

export type Route = 'repository' | 'commit' | 'tree' | 'blob' | 'tarball' | 'archive'

/** What goes wrong with an answer: a status answers with what GitHub says then. */
export type Fault = 'stall' | 'cut' | 'page' | 'garbage' | 'echo' | 'elsewhere' | 401 | 404 | 409 | 422 | 429 | 451 | 500 | 502

export type GitHubServer = {
  /** The address of the API, as GitHub Enterprise has it. */
  baseUrl: string
  /** Of the other origin, where archives come from. */
  archiveOrigin: string
  /** How often each route was asked, requests that failed included. */
  requests: Record<Route, number>
  /** What was sent to where archives come from. */
  archiveHeaders: IncomingMessage['headers'][]
  settings: Settings
  create(name: string): Repository
  rename(from: string, to: string): void
  /** So it goes with all requests of a route, or of all, until it is mended. */
  break(fault: Fault, route?: Route): void
  mend(): void
  /** Refuses connections until it is opened again. */
  close(): Promise<void>
  open(): Promise<void>
  isOpen(): boolean
}

type Settings = {
  /** Where there is one, another one is refused, and private repositories are for this one only. */
  token: string | null
  /** A listing of more entries is cut off there. */
  maxEntries: number
  limit: { limit: number; remaining: number; resetsAt: number }
  /** The answers of a secondary limit, with `retry-after` where it is no null. */
  secondary: { status: 403 | 429; retryAfter: string | null } | null
  /** The header by which single sign-on is asked for. */
  sso: string | null
  /** In place of what trees, blobs and the archive really are. */
  lies: { trees: Map<string, object[]>; blobs: Map<string, Buffer>; archive: Buffer | null }
}

type Answer = { status: number; type?: string; headers?: Record<string, string>; body?: string | Buffer }
type Outcome = Answer | 'stall' | 'cut'
type Found = { repository: Repository; route: Route; argument: string }

const routes: [Route, RegExp][] = [
  ['repository', /^$/],
  ['commit', /^\/commits\/([^/]+)$/],
  ['tree', /^\/git\/trees\/([^/]+)$/],
  ['blob', /^\/git\/blobs\/([^/]+)$/],
  ['tarball', /^\/tarball\/([^/]+)$/],
]
const json = 'application/json; charset=utf-8'
const basePath = '/api/v3'
const archiveToken = 'ARCHIVETOKENOFAMINUTE'
const messages: Record<number, string> = {
  401: 'Bad credentials',
  403: 'Resource not accessible by personal access token',
  404: 'Not Found',
  409: 'Git Repository is empty.',
  422: 'No commit found for SHA',
  429: 'API rate limit exceeded',
  451: 'Repository access blocked',
}

/** Speaks the part of GitHub's REST API that reads repositories, on free ports of the loopback. It ends with the test. */
export async function startGitHub(t: Teardown): Promise<GitHubServer> {
  const repositories = new Map<string, Repository>()
  const moved = new Map<string, Repository>()
  const requests: Record<Route, number> = { repository: 0, commit: 0, tree: 0, blob: 0, tarball: 0, archive: 0 }
  const archiveHeaders: IncomingMessage['headers'][] = []
  const settings: Settings = {
    token: null,
    maxEntries: 100_000,
    limit: { limit: 5_000, remaining: 5_000, resetsAt: Math.floor(Date.now() / 1_000) + 3_000 },
    secondary: null,
    sso: null,
    lies: { trees: new Map(), blobs: new Map(), archive: null },
  }
  const faults: { fault: Fault; route: Route | null }[] = []
  let baseUrl = ''
  let archiveOrigin = ''

  function answerApi(request: IncomingMessage): Outcome {
    const url = new URL(request.url ?? '/', 'http://host')
    const found = find(url)
    if (!('route' in found)) return found
    requests[found.route] += 1
    const fault = faultOf(found.route)
    if (fault) return spoilt(fault, request)
    return counted(request, refusal(request, found.repository) ?? answerOf(found, url, request))
  }

  /** By its present name or its number; by an earlier name it leads to the number. */
  function find(url: URL): Found | Answer {
    const path = url.pathname.slice(basePath.length)
    const [, name = '', rest = ''] = /^\/repos\/([^/]+\/[^/]+)(.*)$/.exec(path) ?? /^\/repositories\/(\d+)(.*)$/.exec(path) ?? []
    const repository = repositories.get(name) ?? [...repositories.values()].find(({ id }) => String(id) === name)
    const other = moved.get(name)
    if (!repository && other) {
      const location = `${baseUrl}/repositories/${other.id}${rest}${url.search}`
      return problem(301, 'Moved Permanently', { location })
    }
    const [route, pattern] = routes.find(([, pattern]) => pattern.test(rest)) ?? []
    if (!repository || !route) return problem(404)
    return { repository, route, argument: decodeURIComponent(pattern?.exec(rest)?.[1] ?? '') }
  }

  function refusal({ headers }: IncomingMessage, { isPrivate }: Repository): Answer | null {
    const given = headers.authorization?.replace(/^(Bearer|token) /, '')
    if (given !== undefined && given !== settings.token) return problem(401)
    if (isPrivate && given === undefined) return problem(404)
    if (settings.secondary) {
      const { status, retryAfter } = settings.secondary
      return problem(
        status,
        'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
        retryAfter === null ? {} : { 'retry-after': retryAfter },
      )
    }
    if (settings.limit.remaining <= 0) return problem(403, 'API rate limit exceeded for user ID 1.')
    return settings.sso === null
      ? null
      : problem(403, 'Resource protected by organization SAML enforcement.', { 'x-github-sso': settings.sso })
  }

  function answerOf({ repository, route, argument }: Found, url: URL, request: IncomingMessage): Answer {
    if (route === 'repository') return describe(repository)
    if (repository.commits.size === 0) return problem(409)
    if (route === 'commit') return commitAnswer(repository, argument, request)
    if (route === 'tree') return treeAnswer(repository, argument, url.searchParams.has('recursive') ? 'recursive' : 'direct')
    if (route === 'blob') return blobAnswer(repository, argument)
    const commit = repository.resolve(argument)
    if (!commit) return problem(404)
    const token = repository.isPrivate ? `?token=${archiveToken}` : ''
    const location = `${archiveOrigin}/${repository.name}/legacy.tar.gz/${commit.sha}${token}`
    return { status: 302, type: 'text/html; charset=utf-8', headers: { location }, body: '' }
  }

  function treeAnswer(repository: Repository, sha: string, depth: 'direct' | 'recursive'): Answer {
    const tree = repository.commits.get(sha)?.tree ?? sha
    const real = repository.trees.has(tree) ? repository.list(tree, depth).map((entry) => withUrl(entry, repository)) : null
    const listed = settings.lies.trees.get(tree) ?? real
    if (!listed) return problem(404)
    const url = `${baseUrl}/repos/${repository.name}/git/trees/${tree}`
    const truncated = listed.length > settings.maxEntries
    return ok({ sha: tree, url, tree: listed.slice(0, settings.maxEntries), truncated })
  }

  function withUrl(entry: Entry, { name }: Repository): object {
    return entry.type === 'commit' ? entry : { ...entry, url: `${baseUrl}/repos/${name}/git/${entry.type}s/${entry.sha}` }
  }

  function blobAnswer({ blobs }: Repository, sha: string): Answer {
    const bytes = settings.lies.blobs.get(sha) ?? blobs.get(sha)
    if (!bytes) return problem(404)
    const content = bytes.toString('base64').replace(/.{1,60}/g, '$&\n')
    return ok({ sha, node_id: 'B_1', size: bytes.length, url: '', content, encoding: 'base64' })
  }

  function answerArchive(request: IncomingMessage): Outcome {
    requests.archive += 1
    archiveHeaders.push(request.headers)
    const fault = faultOf('archive')
    if (fault) return spoilt(fault, request)
    const url = new URL(request.url ?? '/', 'http://host')
    const [, owner, name, sha = ''] = /^\/([^/]+)\/([^/]+)\/legacy\.tar\.gz\/([0-9a-f]{40})$/.exec(url.pathname) ?? []
    const repository = repositories.get(`${owner}/${name}`)
    const commit = repository?.commits.get(sha)
    if (!commit || (repository?.isPrivate && url.searchParams.get('token') !== archiveToken)) {
      return { status: 404, type: 'text/plain', body: '404: Not Found' }
    }
    return {
      status: 200,
      type: 'application/x-gzip',
      body: settings.lies.archive ?? archiveOf(commit, `${owner}-${name}-${sha.slice(0, 7)}`),
    }
  }

  /** Nothing new costs nothing. */
  function counted(request: IncomingMessage, answer: Answer): Answer {
    const etag = answer.headers?.etag
    const isSame = etag !== undefined && request.headers['if-none-match'] === etag
    if (!isSame && settings.limit.remaining > 0) settings.limit.remaining -= 1
    const counts = {
      'x-ratelimit-limit': String(settings.limit.limit),
      'x-ratelimit-remaining': String(settings.limit.remaining),
      'x-ratelimit-reset': String(settings.limit.resetsAt),
      'x-ratelimit-resource': 'core',
    }
    const sent = isSame ? { status: 304, headers: { etag } } : answer
    return { ...sent, headers: { ...counts, ...sent.headers } }
  }

  function faultOf(route: Route): Fault | null {
    return faults.find((one) => one.route === null || one.route === route)?.fault ?? null
  }

  function spoilt(fault: Fault, { headers }: IncomingMessage): Outcome {
    if (fault === 'stall' || fault === 'cut') return fault
    if (fault === 'page') return { status: 200, type: 'text/html; charset=utf-8', body: '<html>Unicorn!</html>' }
    if (fault === 'garbage') return { status: 200, type: json, body: '{"sha": "1", "tree": [{"path"' }
    if (fault === 'elsewhere') return problem(301, '', { location: `${archiveOrigin}/away` })
    const sent = JSON.stringify(headers)
    if (fault === 'echo') return problem(403, `Refused: ${sent}`, { 'x-echo': sent })
    return fault >= 500 ? { status: fault, type: 'text/html', body: '<html>Unicorn!</html>' } : problem(fault)
  }

  const api = await listen(createServer((request, response) => reply(response, answerApi(request))))
  const archives = await listen(createServer((request, response) => reply(response, answerArchive(request))))
  baseUrl = `${originOf(api)}${basePath}`
  archiveOrigin = originOf(archives)
  const { port } = api.address() as AddressInfo
  t.teardown(() => Promise.all([api, archives].map(shut)))

  return {
    baseUrl,
    archiveOrigin,
    requests,
    archiveHeaders,
    settings,
    create(name) {
      const repository = createRepository(name, 1_000 + repositories.size)
      repositories.set(name, repository)
      return repository
    },
    rename(from, to) {
      const repository = repositories.get(from)
      if (!repository) throw new Error(`There is no repository ${from}.`)
      repositories.delete(from)
      repositories.set(to, repository)
      moved.set(from, repository)
      repository.name = to
    },
    break: (fault, route) => faults.push({ fault, route: route ?? null }),
    mend: () => faults.splice(0),
    isOpen: () => api.listening,
    close: () => shut(api),
    open: async () => {
      api.listen(port, '127.0.0.1')
      await once(api, 'listening')
    },
  }
}

function describe({ id, name, isPrivate, defaultBranch }: Repository): Answer {
  return ok({ id, name: name.split('/')[1], full_name: name, private: isPrivate, archived: false, default_branch: defaultBranch })
}

function commitAnswer(repository: Repository, ref: string, { headers }: IncomingMessage): Answer {
  const commit = repository.resolve(ref)
  if (!commit) return problem(422, `No commit found for SHA: ${ref}`)
  if (headers.accept !== 'application/vnd.github.sha') return ok({ sha: commit.sha, commit: { tree: { sha: commit.tree } } })
  return {
    status: 200,
    type: 'application/vnd.github.sha; charset=utf-8',
    headers: { etag: `"${commit.sha}"` },
    body: commit.sha,
  }
}

function ok(body: object): Answer {
  const text = JSON.stringify(body)
  return { status: 200, type: json, headers: { etag: `W/"${createHash('sha256').update(text).digest('hex')}"` }, body: text }
}

function problem(status: number, message = messages[status] ?? '', headers: Record<string, string> = {}): Answer {
  const body = { message, documentation_url: 'https://docs.github.com/rest', status: String(status) }
  return { status, type: json, headers, body: JSON.stringify(body) }
}

function reply(response: ServerResponse, outcome: Outcome): void {
  if (outcome === 'stall') return
  if (outcome === 'cut') {
    response.writeHead(200, { 'content-type': json, 'content-length': '1000' })
    response.write('{"sha":', () => response.destroy())
    return
  }
  const { status, type, headers = {}, body = '' } = outcome
  const typed = type === undefined ? {} : { 'content-type': type }
  response.writeHead(status, { ...typed, 'x-github-request-id': 'C0DE:1', vary: 'Accept, Authorization', ...headers })
  response.end(status === 304 ? undefined : body)
}

async function listen(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function shut(server: Server): Promise<void> {
  if (!server.listening) return
  server.close()
  server.closeAllConnections()
  await once(server, 'close')
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
