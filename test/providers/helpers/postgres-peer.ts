import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import type { Teardown } from '../../helpers/service.js'
import { memoryTemplateFile } from '../../helpers/template.js'

/** A Postgres that listens on the loopback, and takes every password. */
export type Postgres = {
  host: string
  port: number
  user: string
  password: string
  database: string
  run(sql: string, values?: unknown[]): Promise<void>
}

/** Whether there is a server: the embedded engine cannot end a query that is under way, and has one user. */
export const isPostgres = process.env.TEST_DATABASE_URL !== undefined

/** The server that the suite runs on; without one the embedded engine behind a socket, which has one session at a time. */
export async function openPostgres(t: Teardown): Promise<Postgres> {
  const serverUrl = process.env.TEST_DATABASE_URL
  return serverUrl === undefined ? serveEmbedded(t) : openServer(t, new URL(serverUrl))
}

async function openServer(t: Teardown, url: URL): Promise<Postgres> {
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  t.teardown(() => client.end())
  return {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password) || 'unasked/S3cret word',
    database: url.pathname.slice(1),
    run: async (sql, values) => {
      await client.query(sql, values)
    },
  }
}

async function serveEmbedded(t: Teardown): Promise<Postgres> {
  const pglite = await PGlite.create({ loadDataDir: new Blob([await readFile(await memoryTemplateFile())]) })
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = turn.then(work)
    turn = next.catch(() => undefined)
    return next
  }
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    void inTurn(() => converse(socket, pglite))
  })
  const port = await listen(t, server)
  t.teardown(() => inTurn(() => pglite.close()))
  return {
    ...{ host: '127.0.0.1', port, user: 'postgres', password: 'unasked/S3cret word', database: 'postgres' },
    run: (sql, values) =>
      inTurn(async () => {
        await (values ? pglite.query(sql, values) : pglite.exec(sql))
      }),
  }
}

/** Lets the engine answer one connection; what is open when it ends is rolled back, as a server does. */
async function converse(socket: Socket, pglite: PGlite): Promise<void> {
  try {
    const frames = readFrames(socket)
    const { value: startup } = await frames.next()
    if (!startup) return
    if (startup.includes('user\0nobody\0')) {
      socket.end(errorResponse('28000', 'role "nobody" does not exist', 'FATAL'))
      return
    }
    socket.write(Buffer.concat([authenticated, ready]))
    let pending: Buffer[] = []
    for await (const frame of frames) {
      const type = String.fromCharCode(frame[0] ?? 0)
      if (type === 'X') return
      pending.push(frame)
      if (type !== 'S' && type !== 'Q') continue
      socket.write(await pglite.execProtocolRaw(Buffer.concat(pending)))
      pending = []
    }
  } finally {
    socket.destroy()
    await pglite.exec('ROLLBACK')
  }
}

const tlsRequest = 80_877_103

/** The messages of a client, its start-up first; TLS is declined. Ends with the connection, however that ends. */
async function* readFrames(socket: Duplex): AsyncGenerator<Buffer, undefined> {
  let bytes = Buffer.alloc(0)
  let typeBytes = 0
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      bytes = Buffer.concat([bytes, chunk])
      while (bytes.length >= typeBytes + 4) {
        const length = typeBytes + bytes.readInt32BE(typeBytes)
        if (bytes.length < length) break
        const frame = bytes.subarray(0, length)
        bytes = bytes.subarray(length)
        if (typeBytes === 0 && length === 8 && frame.readInt32BE(4) === tlsRequest) {
          socket.write('N')
          continue
        }
        typeBytes = 1
        yield frame
      }
    }
  } catch (error) {
    if (!['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(String((error as NodeJS.ErrnoException).code)))
      throw error
  }
  return undefined
}

/** One message of a server. */
export function message(type: string, ...parts: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)))
  const head = Buffer.alloc(5, type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export const authenticated = message('R', Buffer.alloc(4))
export const askForPassword = message('R', Buffer.from([0, 0, 0, 3]))
export const ready = message('Z', 'I')

export function errorResponse(state: string, text: string, severity = 'ERROR'): Buffer {
  return message('E', `S${severity}\0`, `V${severity}\0`, `C${state}\0`, `M${text}\0`, '\0')
}

export const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
export const int32 = (value: number): Buffer => Buffer.concat([int16((value >>> 16) & 0xffff), int16(value & 0xffff)])
export const row = (...fields: (string | null)[]): Buffer =>
  message('D', int16(fields.length), ...fields.flatMap((field) => (field === null ? [int32(-1)] : [int32(field.length), field])))

/** Each kind of message, as a server sends it. */
export const wellFormed: Buffer[] = [
  authenticated,
  ready,
  errorResponse('42601', 'syntax error'),
  message('R', int32(5), 'salt'),
  message('R', int32(10), 'SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0'),
  message('R', int32(11), 'r=1,s=2,i=3'),
  message('R', int32(12), 'v=1'),
  message('S', 'client_encoding\0UTF8\0'),
  message('K', int32(1), int32(2)),
  message('T', int16(2), 'path\0', Buffer.alloc(18), 'content\0', Buffer.alloc(18)),
  message('T', int16(0)),
  row('a.md', null, '', 'x'.repeat(100)),
  row(),
  message('C', 'SELECT 1\0'),
  message('N', '\0'),
  ...['1', '2', '3', 'n', 's', 'I'].map((type) => message(type)),
]

/** What the other side does with a connection once it is there. */
export type Behaviour = (socket: Socket) => void

/** A door to a database that a test can open, close, and stand in. It has the same port all the time. */
export type Gate = {
  readonly port: number
  /** How many connections came. */
  connections(): number
  /** From the next connection on; those that are there are cut. */
  behave(behaviour: Behaviour): void
  close(): Promise<void>
  open(): Promise<void>
  cut(): void
}

export async function openGate(t: Teardown, first: Behaviour): Promise<Gate> {
  const sockets = new Set<Socket>()
  let behaviour = first
  let count = 0
  const server = createServer((socket) => {
    count += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    behaviour(socket)
  })
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(cut)
  const port = await listen(t, server)
  return {
    port,
    connections: () => count,
    behave: (next) => {
      cut()
      behaviour = next
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      cut()
      await closed
    },
    open: async () => {
      if (server.listening) return
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    cut,
  }
}

async function listen(t: Teardown, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    if (server.listening) server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Takes what it is sent, and never answers. */
export const stall: Behaviour = (socket) => {
  socket.resume()
}

/** Passes all on to a database, and its answers back. */
export function passTo({ host, port }: Postgres): Behaviour {
  return (socket) => join(socket, connect(port, host))
}

/** The same over TLS. */
export function passOverTls({ host, port }: Postgres, { key, cert }: { key: string; cert: string }): Behaviour {
  return (socket) => {
    socket.once('data', () => {
      socket.write('S')
      const secured = new TLSSocket(socket, { isServer: true, key, cert })
      secured.on('error', () => socket.destroy())
      join(secured, connect(port, host))
    })
  }
}

function join(one: Duplex, other: Duplex): void {
  one.pipe(other).pipe(one)
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
  }
}

/** Answers each message as it is told, the start-up first; `null` says nothing. */
export function answerBy(answer: (frame: Buffer, index: number) => Buffer | null): Behaviour {
  return (socket) => {
    void (async () => {
      let index = 0
      for await (const frame of readFrames(socket)) {
        const said = answer(frame, index)
        index += 1
        if (said) socket.write(said)
      }
      socket.destroy()
    })()
  }
}
