import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Scope } from './scope.js'

/** Stands between an instance and Postgres, and counts the statements that are sent. */
export type StatementCounter = {
  url: string
  /** How often each was sent since the last call, by its text. */
  take(): Map<string, number>
}

/** Messages of the protocol begin with a letter, but for those that open a connection. */
const headerBytes = 5
const openingHeaderBytes = 4
const encryptionRequest = 80_877_103

export async function startStatementCounter(scope: Scope, target: string): Promise<StatementCounter> {
  const { hostname, port } = new URL(target)
  let counts = new Map<string, number>()
  const count = (statement: string) => counts.set(statement, (counts.get(statement) ?? 0) + 1)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const database = connect(Number(port), hostname)
    client.on('data', createParser(count))
    client.pipe(database).pipe(client)
    const end = () => {
      for (const socket of [client, database]) {
        socket.destroy()
        sockets.delete(socket)
      }
    }
    for (const socket of [client, database]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.teardown(async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const url = new URL(target)
  url.host = `127.0.0.1:${(server.address() as { port: number }).port}`
  return {
    url: url.href,
    take() {
      const taken = counts
      counts = new Map()
      return taken
    },
  }
}

/** Reads what one client sends: a statement counts when it is run, which for a prepared one is when it is bound. */
function createParser(count: (statement: string) => unknown): (chunk: Buffer) => void {
  const prepared = new Map<string, string>()
  let pending = Buffer.alloc(0)
  let isOpening = true
  const read = (type: string, message: Buffer) => {
    const [first = '', second = ''] = message.toString('utf8').split('\0', 2)
    if (type === 'Q') count(first)
    else if (type === 'P') prepared.set(first, second)
    else if (type === 'B') count(prepared.get(second) ?? second)
  }
  return (chunk) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const skipped = isOpening ? openingHeaderBytes : headerBytes
      if (pending.length < skipped) return
      const length = pending.readUInt32BE(skipped - 4) + skipped - 4
      if (pending.length < length) return
      const message = pending.subarray(skipped, length)
      if (!isOpening) read(String.fromCharCode(pending[0] ?? 0), message)
      else isOpening = message.readUInt32BE(0) === encryptionRequest
      pending = pending.subarray(length)
    }
  }
}
