import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { makeMigratedEnvironment, serve } from '../helpers/process.js'

// Starting processes is slow and mostly waiting: these tests run side by side.
t.jobs = 2

t.test('SIGTERM finishes the request in flight and closes within ten seconds', { buffered: true }, async (t) => {
  const { directory, env } = await makeMigratedEnvironment(t)
  const service = await serve(t, env)
  const secret = (await readFile(join(directory, 'admin-key'), 'utf8')).trim()
  const body = JSON.stringify({ prompts: [{ name: 'late', content: 'arrived' }] })
  const { hostname, port } = new URL(service.url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  let received = ''
  socket.on('data', (chunk) => (received += chunk))
  const answered = new Promise((resolve) => socket.on('close', resolve))
  socket.write(
    `POST /prompts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 10)}`,
  )
  // A request that was answered after the half was sent shows that the server has begun to read it.
  await fetch(`${service.url}/livez`)
  const startedAt = performance.now()
  service.child.kill('SIGTERM')
  await untilRefused(service.url)
  socket.write(body.slice(10))
  await answered
  t.match(received, /^HTTP\/1\.1 201 /)
  t.equal(await service.exited, 0)
  t.ok(performance.now() - startedAt < 10_000)
})

/** Resolves once new connections are refused: the server is closing. */
async function untilRefused(url: string): Promise<void> {
  for (;;) {
    try {
      await fetch(`${url}/livez`, { headers: { connection: 'close' } })
    } catch {
      // Refused: what was waited for.
      return
    }
  }
}

t.test('a request that never ends does not keep the process over ten seconds', { buffered: true }, async (t) => {
  const { env } = await makeMigratedEnvironment(t)
  const service = await serve(t, env)
  const { hostname, port } = new URL(service.url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.write('POST /keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{')
  await fetch(`${service.url}/livez`)
  const startedAt = performance.now()
  service.child.kill('SIGTERM')
  await service.exited
  t.ok(performance.now() - startedAt < 10_000)
})
