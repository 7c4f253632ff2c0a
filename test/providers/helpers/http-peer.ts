import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../helpers/service.js'
import type { Files } from '../conformance.js'

/** How the server tells that nothing changed. */
export type Validators = 'etag' | 'date' | 'none'

export type HttpPeer = {
  /** Without a slash at the end. */
  url: string
  /** The files below `/files/`; `/manifest.json` names them all. */
  files: Files
  validators: Validators
  /** What `authorization` has to be, if anything. */
  authorization: string | null
  requests: { path: string; status: number; headers: IncomingMessage['headers'] }[]
  /** In place of what it would answer. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | null
  stall(): void
  leave(): Promise<void>
  restore(): Promise<void>
}

/** A server of files on the loopback, which ends with the test. */
export async function startHttpPeer(t: Teardown): Promise<HttpPeer> {
  let isStalled = false
  const server = createServer((request, response) => {
    if (!isStalled) answerWith(peer, request, response)
  })
  await listen(server, 0)
  const { port } = server.address() as AddressInfo
  const peer: HttpPeer = {
    url: `http://127.0.0.1:${port}`,
    files: {},
    validators: 'etag',
    authorization: null,
    requests: [],
    answer: null,
    stall: () => {
      isStalled = true
    },
    leave: () => close(server),
    restore: async () => {
      if (isStalled) server.closeAllConnections()
      isStalled = false
      if (!server.listening) await listen(server, port)
    },
  }
  t.teardown(() => close(server))
  return peer
}

export async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
}

export async function close(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}

function answerWith(peer: HttpPeer, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url ?? '/', peer.url).pathname)
  response.on('finish', () => peer.requests.push({ path, status: response.statusCode, headers: request.headers }))
  if (peer.answer) peer.answer(request, response)
  else answerFile(peer, path, request, response)
}

function answerFile(peer: HttpPeer, path: string, request: IncomingMessage, response: ServerResponse): void {
  if (peer.authorization !== null && request.headers.authorization !== peer.authorization) {
    return void response.writeHead(401).end(`No access with ${request.headers.authorization}.`)
  }
  const content = path === '/manifest.json' ? manifestOf(peer) : peer.files[path.replace('/files/', '')]
  if (content === undefined) return void response.writeHead(404).end('Not found.')
  const bytes = Buffer.from(content as string)
  const fields = validatorFields(peer.validators, bytes)
  const isSame =
    (fields.etag !== undefined && fields.etag === request.headers['if-none-match']) ||
    (fields['last-modified'] !== undefined && fields['last-modified'] === request.headers['if-modified-since'])
  if (isSame) return void response.writeHead(304, fields).end()
  response.writeHead(200, { ...fields, 'content-length': bytes.length }).end(bytes)
}

function manifestOf({ files }: HttpPeer): string {
  const entries = Object.keys(files).map((path) => ({ path, url: `files/${path.split('/').map(encodeURIComponent).join('/')}` }))
  return JSON.stringify({ files: entries })
}

/** A date that stands for the bytes, and is long ago. */
function validatorFields(validators: Validators, bytes: Buffer): Record<string, string> {
  const digest = createHash('sha256').update(bytes).digest()
  if (validators === 'etag') return { etag: `"${digest.toString('hex').slice(0, 16)}"` }
  if (validators === 'date') return { 'last-modified': new Date((digest.readUInt32BE() % 1e9) * 1_000).toUTCString() }
  return {}
}
