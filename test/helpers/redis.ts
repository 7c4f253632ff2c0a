import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { connectRedis, type RedisLink } from '../../src/redis/connect.js'
import type { Teardown } from './service.js'

/** The Redis to test against, if one is named. Each test file uses keys and channels of its own. */
export const redisUrl = process.env.TEST_REDIS_URL

/** A link, closed at the end, and what it has logged. */
export type LoggedLink = { link: RedisLink; warnings: string[] }

export function openLink(t: Teardown, urls: string[]): LoggedLink {
  const warnings: string[] = []
  const log = { warn: (...parts: unknown[]) => void warnings.push(parts.map(String).join(' ')) }
  const link = connectRedis(urls, { log })
  t.teardown(() => link.close())
  return { link, warnings }
}

/** What is said to a command; null is nothing at all. */
export type Script = (command: string[]) => string | Buffer | null

const handshake: Record<string, string> = {
  HELLO: "-ERR unknown command 'HELLO'\r\n",
  CLIENT: '+OK\r\n',
  PING: '+PONG\r\n',
}

/** Answers to the commands that come with every connection, and to PING. */
export function greet([name = '']: string[]): string | null {
  return handshake[name.toUpperCase()] ?? null
}

/** A server that says what no real one would, or says nothing; answers its URL. */
export async function startScripted(t: Teardown, script: Script): Promise<string> {
  return listen(t, (socket) => {
    let waiting: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk])
      for (let next = takeCommand(waiting); next; next = takeCommand(waiting)) {
        waiting = next.rest
        const answer = script(next.command)
        if (answer !== null && socket.writable) socket.write(answer)
      }
    })
  })
}

/** A server of bytes; answers its URL. */
export async function listen(t: Teardown, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    // That the other side goes away is what the tests are about.
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return `redis://127.0.0.1:${(server.address() as { port: number }).port}`
}

/** The first command, and what follows it; null while it is not all there. */
function takeCommand(bytes: Buffer): { command: string[]; rest: Buffer } | null {
  const command: string[] = []
  let at = 0
  const takeLength = () => {
    const end = bytes.indexOf('\r\n', at)
    const length = end < 0 ? null : Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return length
  }
  const count = takeLength()
  if (count === null) return null
  while (command.length < count) {
    const length = takeLength()
    if (length === null || at + length + 2 > bytes.length) return null
    command.push(bytes.toString('utf8', at, at + length))
    at += length + 2
  }
  return { command, rest: bytes.subarray(at) }
}
