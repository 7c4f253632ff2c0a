import { connect, createServer, type Socket } from 'node:net'
import type { Teardown } from '../../helpers/service.js'

/**
 * When to cut a connection: as soon as the program has sent a text, before that reaches the server; or once the server
 * has answered it, before the answer reaches the program.
 */
export type Cut = { when: 'sent' | 'answered'; text: string }

export type CuttingProxy = {
  url: string
  /** Cuts the next connection that does so; resolves when it was cut. */
  cutOnce(cut: Cut): Promise<void>
}

/** Stands between a program and its database. */
export async function startCuttingProxy(t: Teardown, target: string): Promise<CuttingProxy> {
  const server = new URL(target)
  const pairs = new Set<() => void>()
  let armed: { cut: Cut; done: () => void } | null = null

  const proxy = createServer((program) => {
    const database = connect(Number(server.port), server.hostname)
    const end = () => {
      program.destroy()
      database.destroy()
      pairs.delete(end)
    }
    pairs.add(end)
    for (const socket of [program, database]) socket.on('error', end).on('close', end)
    let sent = ''
    let awaiting: (() => void) | null = null
    const fire = () => {
      const done = armed?.done
      armed = null
      end()
      done?.()
    }
    program.on('data', (chunk) => {
      // The end of what was sent before is kept, since a text may be cut by the border of two chunks.
      sent = armed ? sent.slice(-64) + chunk.toString('latin1') : ''
      if (armed && sent.includes(armed.cut.text)) {
        if (armed.cut.when === 'sent') return fire()
        awaiting = fire
      }
      forward(database, chunk)
    })
    database.on('data', (chunk) => (awaiting ? awaiting() : forward(program, chunk)))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    const closed = new Promise((resolve) => proxy.close(resolve))
    for (const end of pairs) end()
    await closed
  })
  const url = new URL(target)
  url.host = `127.0.0.1:${(proxy.address() as { port: number }).port}`
  return { url: url.href, cutOnce: (cut) => new Promise((done) => (armed = { cut, done })) }
}

function forward(to: Socket, chunk: Buffer): void {
  if (!to.destroyed) to.write(chunk)
}
