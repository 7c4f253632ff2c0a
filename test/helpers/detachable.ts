import { connect, createServer, type Socket } from 'node:net'
import { connectPostgres } from '../../src/database/connect.js'
import { createPostgresDatabase, isPostgres, startService, type Teardown } from './service.js'

/** A service whose database can be taken away and, where it is a server, given back. */
export async function startDetachable(t: Teardown) {
  if (!isPostgres) {
    const detachable = await startService(t)
    return { detachable, takeAway: () => detachable.deps.connection.close(), giveBack: null }
  }
  const target = new URL(await createPostgresDatabase(t))
  const sockets = new Set<Socket>()
  const proxy = createServer((socket) => {
    const server = connect(Number(target.port || 5432), target.hostname)
    for (const end of [socket, server]) {
      sockets.add(end)
      end.on('error', () => undefined).on('close', () => sockets.delete(end))
    }
    socket.pipe(server).pipe(socket)
  })
  const listen = (port: number) => new Promise<void>((resolve) => proxy.listen(port, '127.0.0.1', resolve))
  const takeAway = () =>
    new Promise<void>((resolve) => {
      proxy.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  await listen(0)
  const { port } = proxy.address() as { port: number }
  const url = new URL(target)
  url.host = `127.0.0.1:${port}`
  const connection = await connectPostgres(url.href)
  t.teardown(async () => {
    await connection.close()
    if (proxy.listening) await takeAway()
  })
  return { detachable: await startService(t, { connection }), takeAway, giveBack: () => listen(port) }
}
